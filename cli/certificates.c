/* `vouchsafe certificates list|check|add`: the folder of AWS's certificates, one file REGION.pem each,
 * against which identity documents are verified. Whoever can put a certificate there can forge every document
 * of that region, so a certificate that AWS is not known to publish for it goes in by the operator's express
 * word alone, and is called a stranger's ever after. */
#include "aws/regions.h"
#include "cli/commands.h"
#include "cli/installation.h"
#include "cli/table.h"
#include "server/config.h"
#include "verifier/anchors.h"
#include "verifier/encoding.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".pem"

enum { FILES_MAX = 1000 };

/* ---- one certificate */

/* Writable by others than its owner: then it is theirs. */
static bool owners_alone(int fd, bool folder, const char *path, struct complaint *complaint)
{
	struct stat status;

	if (fstat(fd, &status) != 0 || !(folder ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode)))
		return complain(complaint, "%s: not a %s", path, folder ? "folder" : "file");
	return !(status.st_mode & 022) ||
	       complain(complaint, "%s: others than its owner may write to it; chmod go-w %s", path, path);
}

/* All of a file of at most ANCHOR_PEM_MAX bytes; one more is read, so that anchors_add can refuse it. */
static bool file_read(int fd, unsigned char *data, size_t *length)
{
	*length = 0;
	while (*length <= ANCHOR_PEM_MAX) {
		ssize_t got = read(fd, data + *length, ANCHOR_PEM_MAX + 1 - *length);

		if (got == 0)
			return true;
		if (got > 0)
			*length += (size_t)got;
		else if (errno != EINTR)
			return false;
	}
	return true;
}

struct certificate {
	char region[REGION_SIZE];
	unsigned char pem[ANCHOR_PEM_MAX + 1];
	size_t length;
	struct anchor_about about; /* its region is NULL: see above */
};

/* Takes the file for the region's certificate. False: the complaint names the file. */
static bool certificate_read(int fd, const char *path, const char *region, struct certificate *certificate,
	struct complaint *complaint)
{
	struct anchors *anchors = anchors_new();
	struct complaint why = { "out of memory" };
	bool done = false;

	snprintf(certificate->region, sizeof(certificate->region), "%s", region);
	if (!file_read(fd, certificate->pem, &certificate->length))
		complain(&why, "%s", strerror(errno));
	else
		done = anchors && anchors_add(anchors, region,
					  (struct bytes){ certificate->pem, certificate->length }, &why);
	if (done) {
		certificate->about = anchors_about(anchors, 0);
		certificate->about.region = NULL;
	} else {
		complain(complaint, "%s: %s", path, why.text);
	}
	anchors_free(anchors);
	return done;
}

static void fingerprint(const struct certificate *certificate, char text[HEX_SIZE(32)])
{
	hex_encode((struct bytes){ certificate->about.sha256, sizeof(certificate->about.sha256) }, text);
}

/* The region that AWS publishes this certificate for; NULL: none that is known. */
static const char *region_of(const struct certificate *certificate)
{
	char sha256[HEX_SIZE(32)];
	size_t i;

	fingerprint(certificate, sha256);
	for (i = 0; published_region(i); i++)
		if (strcmp(published_certificate(published_region(i)), sha256) == 0)
			return published_region(i);
	return NULL;
}

/* Is it what AWS publishes for the region, or is the operator's word given (`own`); and is it valid still?
 * That AWS's certificate of one region should be another's is nobody's word, but a slip. */
static bool certificate_trusted(
	const struct certificate *certificate, const char *path, bool own, struct complaint *complaint)
{
	const char *region = certificate->region;
	const char *meant = region_of(certificate);

	if (certificate->about.not_after <= command_now() / 1000000)
		return complain(complaint, "%s: expired", path);
	if (certificate->about.published)
		return true;
	if (meant)
		return complain(
			complaint, "%s: this is AWS's certificate for %s, not for %s", path, meant, region);
	return own || complain(complaint,
			      "%s: not the certificate that AWS %s for %s; whoever has its key can forge "
			      "every identity document of %s. If that is meant, say --own",
			      path, published_certificate(region) ? "publishes" : "is known to publish",
			      region, region);
}

/* ---- the folder */

/* The one that was named, or that of the configuration. */
struct place {
	const char *folder, *config;
	char configured[PATH_MAX];
};

static bool place_find(struct place *place, struct complaint *complaint)
{
	struct config *config;
	bool found;

	if (place->folder)
		return true;
	config = malloc(sizeof(*config));
	if (!config)
		return complain(complaint, "out of memory");
	found = config_load(place->config ? place->config : CONFIG_DEFAULT, config, complaint);
	if (found && !config->identity_certificates[0])
		found = complain(complaint,
			"%s names no identity_certificates; name the folder: --folder DIR", config->path);
	if (found)
		place->folder = strcpy(place->configured, config->identity_certificates);
	free(config);
	return found;
}

/* The region that a file is for by its name. */
static bool region_take(const char *name, char region[REGION_SIZE], struct complaint *complaint)
{
	size_t length = strlen(name);
	size_t stem = length > strlen(SUFFIX) ? length - strlen(SUFFIX) : 0;

	if (stem > 0 && stem < REGION_SIZE && strcmp(name + stem, SUFFIX) == 0) {
		memcpy(region, name, stem);
		region[stem] = '\0';
		if (aws_region_find(region))
			return true;
	}
	return complain(complaint, "not named for a region of AWS's that is known here, as us-east-1.pem");
}

static bool entry_read(
	int folder, const char *name, struct certificate *certificate, struct complaint *complaint)
{
	struct complaint why;
	char region[REGION_SIZE];
	bool done;
	int fd;

	if (!region_take(name, region, &why))
		return complain(complaint, "%s: %s", name, why.text);
	fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return complain(complaint, "%s: %s", name, strerror(errno));
	done = owners_alone(fd, false, name, complaint) &&
	       certificate_read(fd, name, region, certificate, complaint);
	close(fd);
	return done;
}

/* Hidden ones are what an interrupted `add` has left: they are never read. */
static int shown(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Calls `each` for every file in the order of their names; `wrong` is empty where it could be read. */
static bool folder_walk(const char *path,
	void (*each)(void *context, const char *name, const struct certificate *, struct complaint *wrong),
	void *context, struct complaint *complaint)
{
	struct certificate *certificate = calloc(1, sizeof(*certificate));
	struct dirent **entries = NULL;
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = folder < 0 ? -1 : scandirat(folder, ".", &entries, shown, alphasort);
	bool done = false;
	int i;

	if (!certificate)
		complain(complaint, "out of memory");
	else if (n < 0)
		complain(complaint, "%s: %s", path, strerror(errno));
	else if (n == 0)
		complain(complaint, "%s: holds no certificate", path);
	else if (n > FILES_MAX)
		complain(complaint, "%s: holds more than %d files", path, FILES_MAX);
	else
		done = owners_alone(folder, true, path, complaint);
	for (i = 0; i < n; i++) {
		struct complaint wrong = { "" };

		if (done) {
			(void)entry_read(folder, entries[i]->d_name, certificate, &wrong);
			each(context, entries[i]->d_name, certificate, &wrong);
		}
		free(entries[i]);
	}
	free(entries);
	free(certificate);
	if (folder >= 0)
		close(folder);
	return done;
}

/* ---- list */

struct listing {
	struct table *table;
	bool wrong;
};

static void list_row(
	void *context, const char *name, const struct certificate *certificate, struct complaint *wrong)
{
	struct listing *listing = context;
	char sha256[HEX_SIZE(32)], not_after[16];
	const char *const cells[] = { certificate->region, sha256, not_after,
		certificate->about.published ? "AWS's own" : "not AWS's" };
	struct tm tm;

	(void)name;
	if (wrong->text[0]) {
		command_note("%s", wrong->text);
		listing->wrong = true;
		return;
	}
	fingerprint(certificate, sha256);
	gmtime_r(&certificate->about.not_after, &tm);
	strftime(not_after, sizeof(not_after), "%Y-%m-%d", &tm);
	if (!table_add(listing->table, cells))
		listing->wrong = true;
}

int run_certificates_list(struct words words)
{
	static const char *const headings[] = { "REGION", "SHA-256", "NOT AFTER", "WHOSE", NULL };
	struct place place = { NULL };
	const struct option options[] = { { "--folder", &place.folder, NULL },
		{ "--config", &place.config, NULL }, { 0 } };
	struct complaint complaint = { "out of memory" };
	struct listing listing = { .table = table_new(headings) };
	int status;

	if (!command_line_take(words, options, NULL, 0, &complaint)) {
		status = command_misused(&complaint);
	} else if (!listing.table || !place_find(&place, &complaint) ||
		   !folder_walk(place.folder, list_row, &listing, &complaint)) {
		status = command_failed(&complaint);
	} else {
		table_print(listing.table, stdout);
		status = listing.wrong ? COMMAND_FAILED : command_done();
	}
	table_free(listing.table);
	return status;
}

/* ---- check */

struct checking {
	bool own;
	unsigned good, bad;
};

static void check_one(
	void *context, const char *name, const struct certificate *certificate, struct complaint *wrong)
{
	struct checking *checking = context;

	if (!wrong->text[0] && certificate_trusted(certificate, name, checking->own, wrong)) {
		checking->good++;
		return;
	}
	command_note("%s", wrong->text);
	checking->bad++;
}

int run_certificates_check(struct words words)
{
	struct place place = { NULL };
	struct checking checking = { 0 };
	const struct option options[] = { { "--folder", &place.folder, NULL },
		{ "--config", &place.config, NULL }, { "--own", NULL, &checking.own }, { 0 } };
	struct complaint complaint = { 0 };

	if (!command_line_take(words, options, NULL, 0, &complaint))
		return command_misused(&complaint);
	if (!place_find(&place, &complaint) || !folder_walk(place.folder, check_one, &checking, &complaint))
		return command_failed(&complaint);
	if (checking.bad)
		return COMMAND_FAILED;
	printf("ok: %s: %u certificate%s\n", place.folder, checking.good, checking.good == 1 ? "" : "s");
	return command_done();
}

/* ---- add */

static bool bytes_write(int fd, const unsigned char *data, size_t length)
{
	while (length) {
		ssize_t written = write(fd, data, length);

		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			data += written;
			length -= (size_t)written;
		}
	}
	return fsync(fd) == 0;
}

/* Whole or not at all: the server may read the folder at any moment. */
static bool file_put(int folder, const char *name, const struct certificate *certificate)
{
	char partial[REGION_SIZE + 20];
	bool done;
	int fd;

	snprintf(partial, sizeof(partial), ".%s.partial", name);
	if (unlinkat(folder, partial, 0) != 0 && errno != ENOENT)
		return false;
	fd = openat(folder, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	done = fchmod(fd, 0644) == 0 && bytes_write(fd, certificate->pem, certificate->length);
	close(fd);
	done = done && renameat(folder, partial, folder, name) == 0;
	if (!done)
		unlinkat(folder, partial, 0);
	return done && fsync(folder) == 0;
}

static bool certificate_put(
	const char *path, const struct certificate *certificate, struct complaint *complaint)
{
	char name[REGION_SIZE + sizeof(SUFFIX)];
	bool done = false;
	int folder;

	snprintf(name, sizeof(name), "%s" SUFFIX, certificate->region);
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return complain(complaint, "%s: cannot make the folder: %s", path, strerror(errno));
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return complain(complaint, "%s: %s", path, strerror(errno));
	if (owners_alone(folder, true, path, complaint)) {
		done = file_put(folder, name, certificate);
		if (!done)
			complain(complaint, "%s/%s: cannot write: %s", path, name, strerror(errno));
	}
	close(folder);
	return done;
}

static bool certificate_add(const char *path, const char *region, const char *folder, bool own,
	struct certificate *certificate, struct complaint *complaint)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return complain(complaint, "%s: %s", path, strerror(errno));
	done = certificate_read(fd, path, region, certificate, complaint) &&
	       certificate_trusted(certificate, path, own, complaint) &&
	       certificate_put(folder, certificate, complaint);
	close(fd);
	return done;
}

int run_certificates_add(struct words words)
{
	const char *region = NULL, *path = NULL;
	struct place place = { NULL };
	bool own = false;
	const struct option options[] = { { "--folder", &place.folder, NULL },
		{ "--config", &place.config, NULL }, { "--region", &region, NULL }, { "--own", NULL, &own },
		{ 0 } };
	struct complaint complaint = { 0 };
	struct certificate certificate;
	char sha256[HEX_SIZE(32)];

	if (!command_line_take(words, options, &path, 1, &complaint))
		return command_misused(&complaint);
	if (!region || !aws_region_find(region)) {
		complain(&complaint, "--region: write a region of AWS's, as us-east-1");
		return command_misused(&complaint);
	}
	if (!place_find(&place, &complaint) ||
		!certificate_add(path, region, place.folder, own, &certificate, &complaint))
		return command_failed(&complaint);
	fingerprint(&certificate, sha256);
	printf("added: %s %s (%s)\n", region, sha256,
		certificate.about.published ? "AWS's own" : "not AWS's");
	return command_done();
}
