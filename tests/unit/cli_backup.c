/* Backups without a database: pieces in their order, sealed and opened, and a file that is whole or not
 * there, whichever call fails. */
#include "cli/backup_file.h"
#include "cli/backup_seal.h"
#include "tests/unit/unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scene {
	char folder[128];
	char *certificate[2], *key[2], *to;
};
enum { EC, RSA_ };

/* ---- an operator's keys */

static void pair_make(EVP_PKEY *pair, const char *certificate_path, const char *key_path)
{
	X509 *certificate = X509_new();
	FILE *file;

	assert_non_null(pair);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	assert_int_equal(X509_set_pubkey(certificate, pair), 1);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
		(const unsigned char *)"o", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	assert_true(X509_sign(certificate, pair, EVP_sha256()) > 0);
	file = fopen(certificate_path, "w");
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	fclose(file);
	file = fopen(key_path, "w");
	assert_int_equal(PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(pair);
}

static int begin(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(scene);
	snprintf(scene->folder, sizeof(scene->folder), "%s/vouchsafe-backup-XXXXXX",
		tmp && tmp[0] ? tmp : "/tmp");
	assert_non_null(mkdtemp(scene->folder));
	assert_true(asprintf(&scene->to, "%s/it", scene->folder) > 0);
	for (int i = 0; i < 2; i++) {
		assert_true(asprintf(&scene->certificate[i], "%s/%d.pem", scene->folder, i) > 0);
		assert_true(asprintf(&scene->key[i], "%s/%d.key", scene->folder, i) > 0);
	}
	pair_make(EVP_EC_gen("P-256"), scene->certificate[EC], scene->key[EC]);
	pair_make(EVP_RSA_gen(2048), scene->certificate[RSA_], scene->key[RSA_]);
	*state = scene;
	return 0;
}

static unsigned files(const struct scene *scene, bool removed)
{
	DIR *folder = opendir(scene->folder);
	struct dirent *entry;
	unsigned n = 0;

	while (folder && (entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		n++;
		if (removed)
			unlinkat(dirfd(folder), entry->d_name, 0);
	}
	closedir(folder);
	return n;
}

static int end(void **state)
{
	struct scene *scene = *state;

	files(scene, true);
	rmdir(scene->folder);
	for (int i = 0; i < 2; i++) {
		free(scene->certificate[i]);
		free(scene->key[i]);
	}
	free(scene->to);
	free(scene);
	return 0;
}

/* ---- pieces in their order */

static const struct piece_head first = { "0194d000-0000-7000-8000-000000000001", 1767225600000000LL, 5, 0,
	false, { 0 } };

/* The next piece behind `before` (NULL: the first), with some rows. */
static size_t piece_make(const struct piece_head *like, struct bytes before, unsigned char *piece)
{
	struct piece_head head = *like;

	if (before.length > 0)
		assert_int_equal(
			EVP_Digest(before.data, before.length, head.previous, NULL, EVP_sha256(), NULL), 1);
	piece_head_write(&head, piece);
	memset(piece + PIECE_HEAD, 'r', 20);
	return PIECE_HEAD + 20;
}

static bool taken(
	struct piece_sequence *sequence, const unsigned char *piece, size_t length, const char *said)
{
	struct complaint complaint = { "" };
	struct piece_head head;
	struct bytes rows;
	bool took = piece_take(sequence, (struct bytes){ piece, length }, &head, &rows, &complaint);

	assert_true(took != (complaint.text[0] != '\0'));
	if (took)
		assert_int_equal(rows.length, length - PIECE_HEAD);
	else if (!strstr(complaint.text, said))
		fail_msg("expected %s, not: %s", said, complaint.text);
	return took;
}

static void pieces_follow_each_other(void **state)
{
	struct piece_head second = first;
	unsigned char one[200], two[200];
	struct piece_sequence sequence = { 0 };
	size_t length = piece_make(&first, (struct bytes){ 0 }, one);

	(void)state;
	second.number = 1;
	second.last = true;
	piece_make(&second, (struct bytes){ one, length }, two);
	assert_true(taken(&sequence, one, length, ""));
	assert_false(sequence.ended);
	assert_true(taken(&sequence, two, length, ""));
	assert_true(sequence.ended);
	assert_false(taken(&sequence, two, length, "behind the last"));
}

static void what_does_not_follow(void **state)
{
	unsigned char one[200], two[200];
	size_t length = piece_make(&first, (struct bytes){ 0 }, one);
	const struct bytes before = { one, length };
	struct piece_head bad[6];
	static const char *const said[] = { "another backup", "is missing", "is missing", "otherwise",
		"otherwise", "none of a backup" };

	(void)state;
	for (int i = 0; i < 6; i++) {
		struct piece_sequence sequence = { 0 };

		bad[i] = first;
		bad[i].number = 1;
		if (i == 0)
			bad[i].id[0] = '1';
		else if (i == 1 || i == 2)
			bad[i].number = i == 1 ? 0 : 2;
		else if (i == 3)
			bad[i].schema++;
		else if (i == 4)
			bad[i].made_us++;
		else
			bad[i].schema = 0;
		assert_true(taken(&sequence, one, length, ""));
		piece_make(&bad[i], before, two);
		assert_false(taken(&sequence, two, length, said[i]));
	}
	bad[0] = first;
	bad[0].number = 1;
	one[length - 1] ^= 1; /* behind a piece with other rows */
	piece_make(&bad[0], before, two);
	one[length - 1] ^= 1;
	{
		struct piece_sequence sequence = { 0 };

		assert_true(taken(&sequence, one, length, ""));
		assert_false(taken(&sequence, two, length, "does not follow"));
		sequence = (struct piece_sequence){ 0 };
		assert_false(taken(&sequence, two, length, "piece 0 is missing"));
	}
}

static void heads_of_another_form(void **state)
{
	unsigned char piece[200];
	size_t length = piece_make(&first, (struct bytes){ 0 }, piece);

	(void)state;
	for (size_t n = 0; n < PIECE_HEAD; n++) {
		struct piece_sequence sequence = { 0 };
		unsigned char *exact = malloc(n + 1);

		memcpy(exact, piece, n);
		assert_false(taken(&sequence, exact, n, "none of a backup"));
		free(exact);
	}
	for (size_t at = 0; at < PIECE_HEAD; at++) {
		struct piece_head head;
		bool read;

		piece[at] ^= 0x80;
		read = piece_head_read((struct bytes){ piece, length }, &head);
		piece[at] ^= 0x80;
		/* what it still reads is written back as those very bytes: nothing of a head is passed over
		 */
		if (read) {
			unsigned char again[PIECE_HEAD];

			piece_head_write(&head, again);
			assert_memory_not_equal(again, piece, PIECE_HEAD);
		}
	}
}

/* ---- sealing */

static struct recipients *recipients_of(const struct scene *scene, unsigned n)
{
	const char *const paths[] = { scene->certificate[0], scene->certificate[1] };
	struct complaint complaint;
	struct recipients *recipients = recipients_load(paths, n, &complaint);

	assert_non_null(recipients);
	return recipients;
}

static bool opens(const char *path, struct bytes der, struct bytes plain)
{
	struct complaint complaint;
	struct operator_key *key = operator_key_load(path, &complaint);
	unsigned char text[256];
	size_t length = sizeof(text);
	bool opened;

	assert_non_null(key);
	opened = piece_open(key, der, text, &length);
	if (opened) {
		assert_int_equal(length, plain.length);
		assert_memory_equal(text, plain.data, length);
	}
	operator_key_free(key);
	return opened;
}

static void either_key_opens_it(void **state)
{
	const struct scene *scene = *state;
	const struct bytes plain = { (const unsigned char *)"a piece", 7 };
	struct recipients *both = recipients_of(scene, 2), *one = recipients_of(scene, 1);
	unsigned char *der;
	size_t length;
	char names[300];

	assert_true(piece_seal(both, plain, &der, &length));
	assert_true(opens(scene->key[EC], (struct bytes){ der, length }, plain));
	assert_true(opens(scene->key[RSA_], (struct bytes){ der, length }, plain));
	OPENSSL_free(der);
	assert_true(piece_seal(one, plain, &der, &length));
	assert_true(opens(scene->key[EC], (struct bytes){ der, length }, plain));
	assert_false(opens(scene->key[RSA_], (struct bytes){ der, length }, plain));
	OPENSSL_free(der);
	recipients_name(both, names, sizeof(names));
	assert_int_equal(strlen(names), 64 + 2 + 64);
	recipients_name(both, names, 10);
	assert_int_equal(strlen(names), 9);
	recipients_free(both);
	recipients_free(one);
}

/* No change of a byte, no cut, nothing behind gives other bytes than were sealed (opens() sees to it). */
static void a_changed_piece_never_opens_as_another(void **state)
{
	const struct scene *scene = *state;
	const struct bytes plain = { (const unsigned char *)"a piece of twenty-some bytes", 28 };
	struct recipients *recipients = recipients_of(scene, 1);
	struct complaint complaint;
	struct operator_key *key = operator_key_load(scene->key[EC], &complaint);
	unsigned char *der, *longer, text[256];
	size_t length, room, opened = 0;

	assert_true(piece_seal(recipients, plain, &der, &length));
	for (size_t i = 0; i < length * 8; i++) {
		der[i / 8] ^= (unsigned char)(1 << i % 8);
		room = sizeof(text);
		if (piece_open(key, (struct bytes){ der, length }, text, &room)) {
			opened++; /* the recipient's name, or a form that means the same */
			assert_true(room == plain.length && memcmp(text, plain.data, room) == 0);
		}
		der[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	assert_true(opened < length); /* of eight times as many */
	longer = malloc(length + 1);
	memcpy(longer, der, length);
	longer[length] = 0;
	room = sizeof(text);
	assert_false(piece_open(key, (struct bytes){ longer, length + 1 }, text, &room));
	for (size_t i = 0; i < length; i++) {
		room = sizeof(text);
		assert_false(piece_open(key, (struct bytes){ der, i }, text, &room));
	}
	room = plain.length - 1; /* more than there is room for */
	assert_false(piece_open(key, (struct bytes){ der, length }, text, &room));
	room = plain.length;
	assert_true(piece_open(key, (struct bytes){ der, length }, text, &room));
	free(longer);
	OPENSSL_free(der);
	operator_key_free(key);
	recipients_free(recipients);
}

static void keys_that_are_none(void **state)
{
	const struct scene *scene = *state;
	const char *const paths[] = { scene->certificate[EC], scene->key[EC] };
	struct complaint complaint = { "" };

	assert_null(recipients_load(paths, 2, &complaint));
	assert_non_null(strstr(complaint.text, "no certificate"));
	assert_null(operator_key_load(scene->certificate[EC], &complaint));
	assert_non_null(strstr(complaint.text, "no private key"));
	assert_null(operator_key_load("/nonexistent", &complaint));
	pair_make(EVP_EC_gen("P-224"), scene->certificate[EC], scene->key[EC]);
	assert_null(recipients_load(paths, 1, &complaint));
	assert_non_null(strstr(complaint.text, "256"));
	pair_make(EVP_RSA_gen(1024), scene->certificate[EC], scene->key[EC]);
	assert_null(recipients_load(paths, 1, &complaint));
	assert_non_null(strstr(complaint.text, "2048"));
}

/* ---- the file: call after call fails */

static struct {
	int left; /* so many go well; below 0: all */
	int error; /* 0: a short write */
	bool fired;
} faults;

static bool fails(void)
{
	if (faults.left < 0 || faults.left-- > 0)
		return false;
	faults.fired = true;
	errno = faults.error;
	return true;
}

static ssize_t write_or_fail(int fd, const void *data, size_t length)
{
	if (!fails())
		return write(fd, data, length);
	return faults.error ? -1 : write(fd, data, length > 1 ? length / 2 : length);
}

static int fsync_or_fail(int fd)
{
	return fails() ? -1 : fsync(fd);
}

static int rename_or_fail(int folder, const char *from, const char *to)
{
	return fails() ? -1 : renameat(folder, from, folder, to);
}

static const struct backup_calls faulty = { write_or_fail, fsync_or_fail, rename_or_fail };

static bool write_two(
	const struct scene *scene, const struct backup_calls *calls, struct complaint *complaint)
{
	const struct bytes one = { (const unsigned char *)"one", 3 },
			   two = { (const unsigned char *)"pieces", 6 };
	struct backup_writer writer;

	complaint->text[0] = '\0';
	if (!backup_writer_open(scene->to, calls, &writer, complaint))
		return false;
	if (backup_writer_put(&writer, one, complaint) && backup_writer_put(&writer, two, complaint))
		return backup_writer_finish(&writer, complaint);
	backup_writer_abandon(&writer);
	return false;
}

static void read_two(const struct scene *scene)
{
	struct backup_reader reader;
	struct complaint complaint;
	struct bytes sealed;

	assert_true(backup_reader_open(scene->to, &reader, &complaint));
	assert_true(backup_reader_next(&reader, &sealed, &complaint));
	assert_true(sealed.length == 3 && memcmp(sealed.data, "one", 3) == 0);
	assert_true(backup_reader_next(&reader, &sealed, &complaint));
	assert_true(sealed.length == 6 && memcmp(sealed.data, "pieces", 6) == 0);
	assert_true(backup_reader_next(&reader, &sealed, &complaint));
	assert_int_equal(sealed.length, 0);
	backup_reader_close(&reader);
}

static void whichever_call_fails_it_is_whole_or_not_there(void **state)
{
	static const int errors[] = { ENOSPC, EIO, EDQUOT, EINTR, 0 };
	const struct scene *scene = *state;
	struct complaint complaint;
	unsigned refusals = 0;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		for (int n = 0;; n++) {
			bool done, there;

			faults.left = n;
			faults.error = errors[i];
			faults.fired = false;
			done = write_two(scene, &faulty, &complaint);
			faults.left = -1;
			there = access(scene->to, F_OK) == 0;
			assert_true(done != (complaint.text[0] != '\0'));
			assert_true(!done || there);
			if (there)
				read_two(scene);
			else
				assert_int_equal(files(scene, false), 4); /* the keys: no partial one */
			refusals += !done;
			unlink(scene->to);
			if (!faults.fired)
				break;
		}
	assert_true(refusals > 20);
}

static void never_over_a_file_and_never_for_others(void **state)
{
	const struct scene *scene = *state;
	struct complaint complaint;
	struct stat about;
	struct backup_writer writer;
	char partial[200];
	mode_t mask = umask(0);

	assert_true(write_two(scene, NULL, &complaint));
	umask(mask);
	assert_int_equal(stat(scene->to, &about), 0);
	assert_int_equal(about.st_mode & 07777, 0600);
	assert_false(write_two(scene, NULL, &complaint));
	assert_non_null(strstr(complaint.text, "never replaces"));
	read_two(scene);
	unlink(scene->to);
	/* one that comes meanwhile is not replaced either */
	assert_true(backup_writer_open(scene->to, NULL, &writer, &complaint));
	assert_false(write_two(scene, NULL, &complaint)); /* two runs at once */
	assert_non_null(strstr(complaint.text, "another run"));
	close(open(scene->to, O_CREAT | O_WRONLY, 0600));
	assert_false(backup_writer_finish(&writer, &complaint));
	assert_int_equal(stat(scene->to, &about), 0);
	assert_int_equal(about.st_size, 0);
	unlink(scene->to);
	/* what a killed run has left is written over; a link in its place is not followed */
	snprintf(partial, sizeof(partial), "%s/.it.partial", scene->folder);
	close(open(partial, O_CREAT | O_WRONLY, 0644));
	assert_true(write_two(scene, NULL, &complaint));
	assert_int_equal(stat(scene->to, &about), 0);
	assert_int_equal(about.st_mode & 07777, 0600);
	unlink(scene->to);
	assert_int_equal(symlink(scene->key[0], partial), 0);
	assert_false(write_two(scene, NULL, &complaint));
	assert_int_equal(stat(scene->key[0], &about), 0);
	assert_true(about.st_size > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_follow_each_other),
		cmocka_unit_test(what_does_not_follow),
		cmocka_unit_test(heads_of_another_form),
		cmocka_unit_test_setup_teardown(either_key_opens_it, begin, end),
		cmocka_unit_test_setup_teardown(a_changed_piece_never_opens_as_another, begin, end),
		cmocka_unit_test_setup_teardown(keys_that_are_none, begin, end),
		cmocka_unit_test_setup_teardown(whichever_call_fails_it_is_whole_or_not_there, begin, end),
		cmocka_unit_test_setup_teardown(never_over_a_file_and_never_for_others, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
