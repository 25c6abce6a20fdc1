/* `vouchsafe restore`: an empty database becomes what a backup says. The file and the key are tried on the
 * first piece before the database is touched; what was written is usable only behind the last one. */
#include "store/restore.h"
#include "store/copy.h"

#include "cli/backup_file.h"
#include "cli/backup_seal.h"
#include "cli/commands.h"
#include "cli/installation.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct restoring {
	const char *config, *uri;
	struct backup_reader reader;
	struct operator_key *key;
	unsigned char *plain; /* PIECE_MAX bytes */
	struct piece_sequence sequence;
	struct piece_head head;
	struct bytes rows; /* of the piece at hand */
	struct installation *installation;
	struct copy_target *target;
	struct complaint *complaint;
};

/* The next piece, opened and in its place. */
static bool piece_next(struct restoring *restore)
{
	size_t length = PIECE_MAX;
	struct bytes sealed;

	if (!backup_reader_next(&restore->reader, &sealed, restore->complaint))
		return false;
	if (sealed.length == 0)
		return complain(restore->complaint, "%s: it is cut short: the last piece is missing",
			restore->reader.path);
	if (!piece_open(restore->key, sealed, restore->plain, &length))
		return complain(restore->complaint,
			"%s: piece %llu does not open: it is for another key, or was changed",
			restore->reader.path, restore->sequence.next.number);
	return piece_take(&restore->sequence, (struct bytes){ restore->plain, length }, &restore->head,
		&restore->rows, restore->complaint);
}

static bool nothing_behind(struct restoring *restore)
{
	struct bytes sealed;

	if (!backup_reader_next(&restore->reader, &sealed, restore->complaint))
		return false;
	return sealed.length == 0 ||
	       complain(restore->complaint, "%s: something is behind its last piece", restore->reader.path);
}

static bool rows_write(struct restoring *restore)
{
	struct reason reason = { 0 };

	if (copy_write(restore->target, restore->rows, &reason) != OK)
		return complain(restore->complaint, "%s", reason.text);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%llu rows ", copy_target_rows(restore->target));
	return true;
}

static bool pieces_write(struct restoring *restore)
{
	struct reason reason = { 0 };

	if (!rows_write(restore))
		return false;
	while (!restore->head.last)
		if (!piece_next(restore) || !rows_write(restore))
			return false;
	if (!nothing_behind(restore))
		return false;
	return copy_complete(restore->target, &reason) == OK ||
	       complain(restore->complaint, "%s", reason.text);
}

static bool database_begin(struct restoring *restore)
{
	restore->installation = installation_restore(
		restore->config, restore->uri, restore->head.schema, restore->complaint);
	if (!restore->installation)
		return false;
	restore->target = copy_target_open(restore->installation->store, restore->head.schema);
	return restore->target || complain(restore->complaint, "out of memory");
}

static bool database_finish(struct restoring *restore, long long *events)
{
	const struct restored restored = { .backup_id = restore->head.id,
		.actor = restore->installation->actor,
		.made_us = restore->head.made_us,
		.now_us = command_now() };
	struct reason reason = { 0 };

	return restore_finish(restore->installation->store, &restored, events, &reason) == OK ||
	       complain(restore->complaint, "%s", reason.text);
}

static int restore_run(struct restoring *restore, const char *path, const char *key_path)
{
	long long events = 0;
	bool done = false;

	restore->key = operator_key_load(key_path, restore->complaint);
	restore->plain = malloc(PIECE_MAX);
	if (!restore->plain)
		complain(restore->complaint, "out of memory");
	else if (restore->key && backup_reader_open(path, &restore->reader, restore->complaint))
		done = piece_next(restore) && database_begin(restore) && pieces_write(restore) &&
		       database_finish(restore, &events);
	if (restore->target && isatty(STDERR_FILENO))
		fputc('\n', stderr);
	if (done)
		printf("restored backup %s: %llu rows, %lld events, one chain without a gap\n",
			restore->head.id, copy_target_rows(restore->target), events);
	if (restore->installation && !done)
		command_note("what has been written cannot be used: remove it before the next try");
	copy_target_close(restore->target);
	installation_close(restore->installation);
	backup_reader_close(&restore->reader);
	operator_key_free(restore->key);
	free(restore->plain);
	return done ? command_done() : command_failed(restore->complaint);
}

int run_restore(struct words words)
{
	const char *path = NULL, *key = NULL;
	struct complaint complaint = { 0 };
	struct restoring restore = { .complaint = &complaint, .reader = { .fd = -1 } };
	const struct option options[] = { { "--config", &restore.config, NULL }, { "--key", &key, NULL },
		{ "--store", &restore.uri, NULL }, { 0 } };

	if (!command_line_take(words, options, &path, 1, &complaint))
		return command_misused(&complaint);
	if (!key) {
		complain(&complaint, "--key KEY.pem is missing: the key of one of the recipients");
		return command_misused(&complaint);
	}
	return restore_run(&restore, path, key);
}
