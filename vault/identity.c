/* Users: taking the one that the PIN belongs to, and asking the kernel who is at a socket's other end. */
#include "vault/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

bool identity_take(const char *pin_file, struct complaint *complaint)
{
	const struct passwd *user;
	struct stat status;
	int groups;

	if (geteuid() != 0)
		return true;
	if (stat(pin_file, &status) != 0)
		return complain(complaint,
			"%s: %s; make it, mode 400, for the user that vouchsafe-vault runs as", pin_file,
			strerror(errno));
	if (status.st_uid == 0)
		return true;
	user = getpwuid(status.st_uid);
	if (user != NULL)
		groups = initgroups(user->pw_name, user->pw_gid);
	else
		groups = setgroups(0, NULL);
	if (groups != 0 || setgid(user != NULL ? user->pw_gid : status.st_gid) != 0 ||
		setuid(status.st_uid) != 0)
		return complain(complaint, "the user %u, to whom %s belongs, cannot be taken: %s",
			(unsigned)status.st_uid, pin_file, strerror(errno));
	if (getuid() != status.st_uid || geteuid() != status.st_uid || setuid(0) == 0)
		return complain(complaint, "the user root cannot be left");
	return true;
}

static bool allowed_put(struct allowed *allowed, uid_t user)
{
	if (allowed->n == ALLOWED_MAX)
		return false;
	allowed->users[allowed->n++] = user;
	return true;
}

bool allowed_add(struct allowed *allowed, const char *user, struct complaint *complaint)
{
	const struct passwd *entry = getpwnam(user);
	char *end = NULL;
	unsigned long number = strtoul(user, &end, 10);

	if (entry == NULL && (*user < '0' || *user > '9' || *end != '\0' || number >= (uid_t)-1))
		return complain(complaint, "--allow-user %s: there is no such user", user);
	if (!allowed_put(allowed, entry != NULL ? entry->pw_uid : (uid_t)number))
		return complain(complaint, "--allow-user: more than %d", ALLOWED_MAX - 1);
	if (entry != NULL && !allowed->has_group) {
		allowed->group = entry->pw_gid;
		allowed->has_group = true;
	}
	return true;
}

bool allowed_defaults(struct allowed *allowed, struct complaint *complaint)
{
	if (allowed->n == 0 && getpwnam("vouchsafe") != NULL && !allowed_add(allowed, "vouchsafe", complaint))
		return false;
	return allowed_put(allowed, geteuid()) ||
	       complain(complaint, "--allow-user: more than %d", ALLOWED_MAX - 1);
}

bool allowed_peer(const struct allowed *allowed, int socket, uid_t *user)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(peer);

	*user = (uid_t)-1;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || length != sizeof(peer))
		return false;
	*user = peer.uid;
	for (size_t i = 0; i < allowed->n; i++)
		if (allowed->users[i] == peer.uid)
			return true;
	return false;
}
