/* Sealed releases as the agent opens them. What begins as DER is an envelope; all else is content, which is
 * sealed to the agent's key as a member seals it, so that what is inside can be reached at all. */
#include "agent/open.h"
#include "tests/fuzz/fuzz.h"
#include "vault/cms_seal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define RELEASE_ID "01890a5d-ac96-774b-bcce-b302099a8057"

static const struct assertion assertion = { "i-0123456789abcdef0", "", "ip-10-0-1-225.ec2.internal",
	"r-0123456789abcdef0", "m5.large", "web-tier", "10.0.1.225", "123456789012", "us-east-1" };
static const struct expected expected = { RELEASE_ID, &assertion };

static EVP_PKEY *pair; /* tests/fuzz/open.pem, made for this alone */
static unsigned char spki[SPKI_P256];

static void set_up(void)
{
	FILE *file = fopen("tests/fuzz/open.pem", "r");
	unsigned char *at = spki;

	MUST_HOLD(file);
	pair = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	MUST_HOLD(pair && i2d_PUBKEY(pair, NULL) == SPKI_P256 && i2d_PUBKEY(pair, &at) == SPKI_P256);
}

static void release_fits(const struct release *release)
{
	MUST_HOLD(release->acknowledgement[0]);
	MUST_HOLD(release->n_secrets >= 1 && release->n_secrets <= RELEASE_SECRETS_MAX);
	for (size_t i = 0; i < release->n_secrets; i++) {
		const struct secret *secret = &release->secrets[i];

		MUST_HOLD(name_valid(secret->name) && secret->data && secret->length > 0);
		for (size_t k = 0; k < i; k++)
			MUST_HOLD(strcmp(secret->name, release->secrets[k].name) != 0);
	}
}

/* Without escapes a content that is taken must say for whom it is. */
static void content_fits(struct bytes content)
{
	unsigned char hash[32];
	char hex[HEX_SIZE(32)];

	if (memchr(content.data, '\\', content.length))
		return;
	MUST_HOLD(assertion_sha256(&assertion, hash));
	hex_encode((struct bytes){ hash, sizeof(hash) }, hex);
	MUST_HOLD(memmem(content.data, content.length, RELEASE_ID, strlen(RELEASE_ID)));
	MUST_HOLD(memmem(content.data, content.length, assertion.instance_id, strlen(assertion.instance_id)));
	MUST_HOLD(memmem(content.data, content.length, hex, strlen(hex)));
}

static bool opens(struct bytes sealed)
{
	static const struct release nothing;
	static struct release release;
	struct complaint complaint = { "" };
	enum agent_exit status = release_open(sealed, pair, &expected, &release, &complaint);

	MUST_HOLD(status == AGENT_DONE || status == AGENT_PROTOCOL);
	MUST_HOLD(ERR_peek_error() == 0);
	if (status == AGENT_DONE)
		release_fits(&release);
	else
		MUST_HOLD(complaint.text[0] && memcmp(&release, &nothing, sizeof(nothing)) == 0);
	release_clear(&release);
	return status == AGENT_DONE;
}

static void open_content(struct bytes content)
{
	struct cms_seal *seal = cms_seal_new((struct bytes){ spki, sizeof(spki) });
	unsigned char *der = NULL;
	size_t length = 0;

	MUST_HOLD(seal && cms_seal_write(seal, content) && cms_seal_finish(seal, &der, &length));
	if (opens((struct bytes){ der, length }))
		content_fits(content);
	OPENSSL_free(der);
	cms_seal_free(seal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!pair)
		set_up();
	if (size > INPUT_MAX)
		return 0;
	if (size && data[0] == 0x30)
		(void)opens((struct bytes){ data, size });
	else
		open_content((struct bytes){ data, size });
	return 0;
}
