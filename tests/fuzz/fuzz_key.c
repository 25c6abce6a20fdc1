/* The key that the agent finds in its state folder: refused, or a P-256 pair that its own request proves.
 * What begins as DER is put into PEM first. Nobody is ever asked for a passphrase. */
#include "agent/key.h"
#include "tests/fuzz/pem.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/vouchsafe-fuzz-key-XXXXXX";
static struct folder folder = { .fd = -1 };

static void folder_end(void)
{
	unlinkat(folder.fd, KEY_FILE, 0);
	folder_close(&folder);
	rmdir(path);
}

static void set_up(void)
{
	struct complaint complaint;

	MUST_HOLD(mkdtemp(path) && folder_open(path, &folder, &complaint));
	atexit(folder_end);
}

static void file_put(const void *data, size_t size)
{
	int fd = openat(folder.fd, KEY_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST_HOLD(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

static void key_fits(const struct key *key)
{
	struct recipient again;
	struct reason reason;

	MUST_HOLD(key->kept && EVP_PKEY_is_a(key->pair, "EC") && EVP_PKEY_get_bits(key->pair) == 256);
	MUST_HOLD(recipient_parse(key->csr, strlen(key->csr), &again, &reason) == OK);
	MUST_HOLD(memcmp(&again, &key->recipient, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct key key;
	struct complaint complaint = { "" };
	enum agent_exit status;
	size_t used;
	char *pem;

	if (folder.fd < 0)
		set_up();
	if (size > 0 && data[0] == 0x30) {
		pem = pem_of("PRIVATE KEY", data, size, &used);
		file_put(pem, used);
		free(pem);
	} else {
		file_put(data, size);
	}
	status = key_keep(&folder, &key, &complaint);
	MUST_HOLD(status == AGENT_DONE || status == AGENT_CONFIGURATION);
	if (status == AGENT_DONE)
		key_fits(&key);
	else
		MUST_HOLD(!key.pair && complaint.text[0]);
	MUST_HOLD(ERR_peek_error() == 0);
	key_clear(&key);
	return 0;
}
