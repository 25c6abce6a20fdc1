/* `vouchsafe backup`: the whole database in one file that only an operator's key opens. That it is made is an
 * event, which is in it already. Must never leave a file that could not be restored, as far as that can be
 * seen here: so the trail is walked first. */
#include "store/audit.h"
#include "store/copy.h"

#include "cli/backup_file.h"
#include "cli/backup_seal.h"
#include "cli/commands.h"
#include "cli/installation.h"
#include "verifier/reasons.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct backup {
	struct recipients *recipients;
	struct installation *installation;
	unsigned long long rows;
	struct backup_writer writer;
	struct piece_head head;
	unsigned char *piece; /* PIECE_MAX bytes */
	struct complaint *complaint;
};

/* ---- pieces */

static void progress(const struct backup *backup)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%llu rows, %llu MiB ", backup->rows, backup->writer.bytes >> 20);
}

static bool piece_put(struct backup *backup, size_t length, struct complaint *complaint)
{
	unsigned char *sealed;
	size_t sealed_length;
	bool put;

	piece_head_write(&backup->head, backup->piece);
	if (!piece_seal(backup->recipients, (struct bytes){ backup->piece, length }, &sealed, &sealed_length))
		return complain(complaint, "a piece cannot be sealed");
	put = backup_writer_put(&backup->writer, (struct bytes){ sealed, sealed_length }, complaint);
	OPENSSL_free(sealed);
	backup->head.number++;
	return put &&
	       (EVP_Digest(backup->piece, length, backup->head.previous, NULL, EVP_sha256(), NULL) == 1 ||
		       complain(complaint, "out of memory"));
}

static bool rows_take(void *context, const struct copy_piece *piece, struct reason *reason)
{
	struct backup *backup = context;
	struct complaint complaint = { "" };

	backup->head.schema = piece->schema;
	backup->head.last = piece->last;
	backup->rows = piece->rows;
	if (!piece_put(backup, PIECE_HEAD + piece->used, &complaint)) {
		unavailable(reason, REASON_STORE, "%.200s", complaint.text);
		return false;
	}
	progress(backup);
	return true;
}

static bool pieces_put(struct backup *backup)
{
	const struct copy_sink sink = { backup->piece + PIECE_HEAD, PIECE_MAX - PIECE_HEAD, rows_take,
		backup };
	struct reason reason = { 0 };

	return copy_read(backup->installation->store, &sink, &reason) == OK ||
	       complain(backup->complaint, "%s", reason.text);
}

/* ---- before the first */

static bool id_make(struct backup *backup)
{
	unsigned char random[10];

	backup->head.made_us = command_now();
	if (RAND_bytes(random, sizeof(random)) != 1)
		return complain(backup->complaint, "no random bytes");
	uuid7_encode(backup->head.made_us / 1000, random, backup->head.id);
	return true;
}

static bool trail_whole(struct backup *backup)
{
	struct reason reason = { 0 };
	long long events;

	return audit_verify(backup->installation->store, &events, &reason) == OK ||
	       complain(backup->complaint, "%s; such a trail could not be restored, so none is backed up",
		       reason.text);
}

static bool event_put(struct backup *backup)
{
	char names[1200], comment[1400];
	struct record record = { .kind = RECORD_EVENT,
		.event = "store.backed-up",
		.outcome = OK,
		.now_us = backup->head.made_us,
		.actor = backup->installation->actor,
		.comment = comment };
	struct record *batch[] = { &record };

	recipients_name(backup->recipients, names, sizeof(names));
	snprintf(comment, sizeof(comment), "backup %s for %s", backup->head.id, names);
	store_record(backup->installation->store, batch, 1);
	return record.outcome == OK || complain(backup->complaint, "%s", record.reason.text);
}

static bool backup_write(struct backup *backup, const char *to)
{
	bool written;

	if (!backup_writer_open(to, NULL, &backup->writer, backup->complaint))
		return false;
	written = event_put(backup) && installation_read_alone(backup->installation, backup->complaint) &&
		  pieces_put(backup);
	if (written)
		return backup_writer_finish(&backup->writer, backup->complaint);
	backup_writer_abandon(&backup->writer);
	return false;
}

static int backup_run(const char *config, const char *to, const char *const recipients[], unsigned n)
{
	struct complaint complaint = { 0 };
	struct backup backup = { .complaint = &complaint, .writer = { .folder = -1, .fd = -1 } };
	bool done = false;

	backup.recipients = recipients_load(recipients, n, &complaint);
	if (backup.recipients)
		backup.installation = installation_open(config, STORE_TOOL, &complaint);
	backup.piece = malloc(PIECE_MAX);
	if (!backup.piece)
		complain(&complaint, "out of memory");
	else if (backup.installation)
		done = id_make(&backup) && trail_whole(&backup) && backup_write(&backup, to);
	if (done && isatty(STDERR_FILENO))
		fputc('\n', stderr);
	if (done)
		printf("backup %s: %llu rows in %llu pieces, %llu bytes\n", backup.head.id, backup.rows,
			backup.head.number, backup.writer.bytes);
	installation_close(backup.installation);
	recipients_free(backup.recipients);
	free(backup.piece);
	return done ? command_done() : command_failed(&complaint);
}

int run_backup(struct words words)
{
	const char *config = NULL, *to = NULL, *recipients[RECIPIENTS_MAX] = { NULL };
	const struct option options[] = { { "--config", &config, NULL }, { "--to", &to, NULL },
		{ "--recipient", recipients, NULL, RECIPIENTS_MAX }, { 0 } };
	struct complaint complaint = { 0 };
	unsigned n = 0;

	if (!command_line_take(words, options, NULL, 0, &complaint))
		return command_misused(&complaint);
	while (n < RECIPIENTS_MAX && recipients[n])
		n++;
	if (!to || n == 0) {
		complain(&complaint, "--to FILE and --recipient CERTIFICATE.pem are both needed");
		return command_misused(&complaint);
	}
	return backup_run(config, to, recipients, n);
}
