/* Starting a member process for set-up, asking it, ending it. Nothing of ours but the socket and the input
 * may reach it. */
#include "vault/setup_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_SECONDS = 5, FREE_DESCRIPTORS = 16 };

extern char **environ;

void setup_say(const struct setup *setup, const char *member, const char *format, ...)
{
	char what[400], line[500];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	snprintf(line, sizeof(line), "%s: %s", member, what);
	if (setup->said != NULL)
		setup->said(setup->context, line);
}

/* ---- the process */

/* 0, 1, 2, the socket, the input: nothing else of ours reaches it. Both come in above the numbers they get.
 */
static int spawn(const struct setup *setup, const char *member, int socket, int input, pid_t *pid)
{
	char *arguments[] = { (char *)setup->program, (char *)"--setup", (char *)"3", (char *)"--member",
		(char *)member, (char *)"--vault", (char *)setup->vault_path, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, usual;
	int error;

	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	error = posix_spawn_file_actions_init(&actions);
	if (error != 0)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error != 0)
		goto out;
	if ((error = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
		(error = posix_spawnattr_setsigdefault(&attributes, &usual)) == 0 &&
		(error = posix_spawnattr_setflags(
			 &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0 &&
		(error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)) == 0 &&
		(error = posix_spawn_file_actions_adddup2(&actions, socket, SETUP_SOCKET)) == 0 &&
		(input < 0 ||
			(error = posix_spawn_file_actions_adddup2(&actions, input, SETUP_INPUT)) == 0) &&
		(error = posix_spawn_file_actions_addclosefrom_np(
			 &actions, input < 0 ? SETUP_INPUT : SETUP_INPUT + 1)) == 0)
		error = posix_spawn(pid, setup->program, &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
out:
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* An error's sentence becomes the complaint. */
static bool answer_is(
	const struct frame *answer, enum frame_type expected, const char *member, struct complaint *complaint)
{
	char text[ANSWER_TEXT_SIZE];
	enum frame_error error;

	if (answer->type == expected &&
		((expected != FRAME_DONE && expected != FRAME_INPUT_READ) || answer_plain(answer, expected)))
		return true;
	return complain(complaint, "%s: %s", member,
		answer_error(answer, &error, text) ? text : "its process answers with nonsense");
}

bool child_hear(struct child *child, const char *member, unsigned seconds, enum frame_type expected,
	struct frame *answer, struct complaint *complaint)
{
	enum frame_result result = frame_receive(
		child->socket, answer, seconds == 0 ? 0 : frame_clock() + seconds * 1000000000LL);

	if (result != FRAME_OK)
		return complain(complaint, "%s: the process that was started for it: %s", member,
			frame_result_text(result));
	if (answer_is(answer, expected, member, complaint))
		return true;
	frame_clear(answer);
	return false;
}

bool child_ask(struct child *child, const char *member, struct frame *request, enum frame_type expected,
	struct frame *answer, struct complaint *complaint)
{
	enum frame_result result = frame_send(
		child->socket, request, frame_clock() + STEP_SECONDS * 1000000000LL);

	frame_clear(request);
	if (result != FRAME_OK)
		return complain(complaint, "%s: the process that was started for it: %s", member,
			frame_result_text(result));
	return child_hear(child, member, STEP_SECONDS, expected, answer, complaint);
}

void child_end(struct child *child)
{
	struct pollfd ended = { .events = POLLIN };

	if (child->pid == 0)
		return;
	close(child->socket);
	ended.fd = pidfd_open(child->pid, 0);
	if (ended.fd < 0 || poll(&ended, 1, END_SECONDS * 1000) != 1)
		kill(child->pid, SIGKILL);
	if (ended.fd >= 0)
		close(ended.fd);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	child->pid = 0;
}

bool child_start(struct child *child, const struct setup *setup, const char *member, int input,
	struct complaint *complaint)
{
	int pair[2], far = -1, far_input = -1, error;
	struct frame here;

	*child = (struct child){ .socket = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return complain(complaint, "no socket for a member process: %s", strerror(errno));
	far = fcntl(pair[1], F_DUPFD_CLOEXEC, FREE_DESCRIPTORS);
	far_input = input < 0 ? -1 : fcntl(input, F_DUPFD_CLOEXEC, FREE_DESCRIPTORS);
	error = far < 0 || (input >= 0 && far_input < 0) ? errno
							 : spawn(setup, member, far, far_input, &child->pid);
	if (far >= 0)
		close(far);
	if (far_input >= 0)
		close(far_input);
	close(pair[1]);
	child->socket = pair[0];
	if (error != 0) {
		close(pair[0]);
		child->pid = 0;
		return complain(complaint, "%s cannot be started: %s", setup->program, strerror(error));
	}
	if (!child_hear(child, member, STEP_SECONDS, FRAME_DONE, &here, complaint)) {
		child_end(child);
		return false;
	}
	frame_clear(&here);
	return true;
}
