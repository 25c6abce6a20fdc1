/* The agent's key: made once, kept, refused when damaged. */
#include "agent/key.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[200];
static struct folder folder;

static int set_up(void **state)
{
	const char *base = getenv("TMPDIR");
	struct complaint complaint;

	(void)state;
	snprintf(root, sizeof(root), "%s/agent-key-XXXXXX", base ? base : "/tmp");
	return mkdtemp(root) && folder_open(root, &folder, &complaint) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct complaint complaint;

	(void)state;
	if (!key_forget(&folder, &complaint))
		return -1;
	folder_close(&folder);
	return rmdir(root);
}

static void test_made_and_kept(void **state)
{
	struct key first, second;
	struct complaint complaint;
	struct stat status;

	(void)state;
	assert_int_equal(key_keep(&folder, &first, &complaint), AGENT_DONE);
	assert_false(first.kept);
	assert_int_equal(fstatat(folder.fd, KEY_FILE, &status, 0), 0);
	assert_int_equal(status.st_mode & 07777, 0400);
	assert_int_equal(key_keep(&folder, &second, &complaint), AGENT_DONE);
	assert_true(second.kept);
	assert_memory_equal(first.recipient.sha256, second.recipient.sha256, 32);
	assert_int_equal(EVP_PKEY_eq(first.pair, second.pair), 1);
	key_clear(&second);
	/* forgotten: the next one is another */
	assert_true(key_forget(&folder, &complaint));
	assert_int_equal(fstatat(folder.fd, KEY_FILE, &status, 0), -1);
	assert_int_equal(key_keep(&folder, &second, &complaint), AGENT_DONE);
	assert_memory_not_equal(first.recipient.sha256, second.recipient.sha256, 32);
	key_clear(&first);
	key_clear(&second);
	key_clear(&second);
}

/* The request has no name in it, and the server's parser takes it (key_keep asks it). */
static void test_request(void **state)
{
	struct complaint complaint;
	X509_REQ *request;
	struct key key;
	BIO *bio;

	(void)state;
	assert_int_equal(key_keep(&folder, &key, &complaint), AGENT_DONE);
	bio = BIO_new_mem_buf(key.csr, -1);
	request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	assert_non_null(request);
	assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
	assert_int_equal(X509_REQ_get_signature_nid(request), NID_ecdsa_with_SHA256);
	assert_int_equal(X509_REQ_get_attr_count(request), 0);
	X509_REQ_free(request);
	BIO_free(bio);
	key_clear(&key);
}

static void put(const char *text, size_t length)
{
	int fd = openat(folder.fd, KEY_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	close(fd);
}

static void assert_unusable(void)
{
	struct complaint complaint;
	struct key key;

	assert_int_equal(key_keep(&folder, &key, &complaint), AGENT_CONFIGURATION);
	assert_non_null(strstr(complaint.text, KEY_FILE));
	assert_null(key.pair);
}

/* A damaged key is never silently replaced: it may be the one that the server knows. */
static void test_damaged(void **state)
{
	EVP_PKEY *other = EVP_EC_gen("P-384");
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long length;

	(void)state;
	put("", 0);
	assert_unusable();
	put("not a key\n", 10);
	assert_unusable();
	assert_int_equal(PEM_write_bio_PrivateKey(bio, other, NULL, NULL, 0, NULL, NULL), 1);
	length = BIO_get_mem_data(bio, &text);
	put(text, (size_t)length);
	assert_unusable();
	BIO_free(bio);
	EVP_PKEY_free(other);
}

static void test_cut_and_trailing(void **state)
{
	char text[1100] = "";
	struct complaint complaint;
	struct key key;
	ssize_t length;
	int fd;

	(void)state;
	assert_int_equal(key_keep(&folder, &key, &complaint), AGENT_DONE);
	key_clear(&key);
	fd = openat(folder.fd, KEY_FILE, O_RDONLY);
	length = read(fd, text, sizeof(text));
	close(fd);
	assert_true(length > 200);
	assert_true(key_forget(&folder, &complaint));
	put(text, (size_t)length - 40);
	assert_unusable();
	put(text, sizeof(text)); /* NUL and more behind it */
	assert_unusable();
	put(text, (size_t)length);
	assert_int_equal(key_keep(&folder, &key, &complaint), AGENT_DONE);
	key_clear(&key);
	assert_int_equal(fchmodat(folder.fd, KEY_FILE, 0644, 0), 0);
	assert_unusable();
}

/* In a process without a terminal, whose standard input somebody could type into: what is left of "x". */
static int left_of_input(void)
{
	struct complaint complaint;
	struct key key;
	int ends[2];
	char c = '-';

	if (pipe(ends) != 0 || write(ends[1], "x\n", 2) != 2 || dup2(ends[0], STDIN_FILENO) < 0)
		return '!';
	close(ends[1]);
	if (key_keep(&folder, &key, &complaint) != AGENT_CONFIGURATION || read(STDIN_FILENO, &c, 1) < 0)
		return '?';
	return c;
}

/* OpenSSL would ask for a passphrase, on the console or on standard input, and the boot would wait for it. */
static void test_encrypted(void **state)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	int status = 0;
	char *text;
	long length;
	pid_t child;

	(void)state;
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pair, EVP_aes_256_cbc(), "x", 1, NULL, NULL), 1);
	length = BIO_get_mem_data(bio, &text);
	put(text, (size_t)length);
	child = fork();
	if (child == 0) {
		setsid();
		_exit(left_of_input());
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 'x');
	BIO_free(bio);
	EVP_PKEY_free(pair);
}

static int no_rename(int from_folder, const char *from, int to_folder, const char *to)
{
	(void)from_folder;
	(void)from;
	(void)to_folder;
	(void)to;
	return -1;
}

/* A key that is not durable is not used. */
static void test_not_stored(void **state)
{
	const struct file_calls calls = { write, fsync, no_rename };
	struct complaint complaint;
	struct key key;

	(void)state;
	folder.calls = &calls;
	assert_int_equal(key_keep(&folder, &key, &complaint), AGENT_GAVE_UP);
	assert_null(key.pair);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { IN_FOLDER(test_made_and_kept), IN_FOLDER(test_request),
		IN_FOLDER(test_damaged), IN_FOLDER(test_encrypted), IN_FOLDER(test_cut_and_trailing),
		IN_FOLDER(test_not_stored) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
