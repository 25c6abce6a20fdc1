/* Keys from AWS's shared credentials file. They carry no end: the file is read anew when it has changed. Must
 * never keep the file's text. */
#include "aws/shared_file.h"
#include "aws/source.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a changed file differs in. */
struct stamp {
	struct timespec modified, status_changed;
	off_t size;
	ino_t inode;
};

struct file {
	struct source source;
	char path[PATH_MAX], profile[PROFILE_SIZE];
	struct stamp stamp; /* of the last fetch */
};

static struct stamp stamp_of(const char *path)
{
	struct stat status;
	struct stamp stamp;

	memset(&stamp, 0, sizeof(stamp));
	if (stat(path, &status) == 0) {
		stamp.modified = status.st_mtim;
		stamp.status_changed = status.st_ctim;
		stamp.size = status.st_size;
		stamp.inode = status.st_ino;
	}
	return stamp;
}

static bool file_changed(struct source *source)
{
	struct file *file = (struct file *)source;
	struct stamp stamp = stamp_of(file->path);

	return memcmp(&stamp, &file->stamp, sizeof(stamp)) != 0;
}

static bool file_read(const struct file *file, struct keys *keys, char why[KEYS_WHY_SIZE])
{
	char *text = OPENSSL_malloc(KEYS_BYTES_MAX);
	bool read = false;

	if (!text)
		snprintf(why, KEYS_WHY_SIZE, "out of memory");
	else if (!secret_file_read(file->path, text, KEYS_BYTES_MAX))
		snprintf(why, KEYS_WHY_SIZE, "%s",
			errno == EINVAL ? "no text of less than 64 KiB" : strerror(errno));
	else
		read = shared_file_parse(text, file->profile, keys, why);
	OPENSSL_clear_free(text, KEYS_BYTES_MAX);
	return read;
}

/* The stamp is older than what is read: a change in between is seen the next time. */
static void file_fetch(struct source *source, long long deadline)
{
	struct file *file = (struct file *)source;
	char why[KEYS_WHY_SIZE] = "";

	(void)deadline;
	file->stamp = stamp_of(file->path);
	if (file_read(file, &source->keys, why))
		source_give(source);
	else
		source_fail(source, "%s", why);
}

static void file_free(struct source *source)
{
	free(source);
}

/* Looked into at once: a file that is wrong is for a person, and at the start he is there. */
static bool file_check(const struct file *file, struct complaint *complaint)
{
	char why[KEYS_WHY_SIZE] = "";
	struct keys keys;
	bool read = file_read(file, &keys, why);

	OPENSSL_cleanse(&keys, sizeof(keys));
	return read || complain(complaint, "%s: %s", file->path, why);
}

struct source *source_file(const char *path, const char *profile, struct complaint *complaint)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file) {
		complain(complaint, "out of memory");
		return NULL;
	}
	file->source.name = "the shared credentials file";
	file->source.renews = true;
	file->source.fetch = file_fetch;
	file->source.changed = file_changed;
	file->source.free = file_free;
	if ((size_t)snprintf(file->path, sizeof(file->path), "%s", path) >= sizeof(file->path) ||
		(size_t)snprintf(file->profile, sizeof(file->profile), "%s", profile) >=
			sizeof(file->profile)) {
		complain(complaint, "AWS_SHARED_CREDENTIALS_FILE or AWS_PROFILE is too long");
		source_free(&file->source);
		return NULL;
	}
	if (!file_check(file, complaint)) {
		source_free(&file->source);
		return NULL;
	}
	return &file->source;
}
