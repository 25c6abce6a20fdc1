/* Writes an instance's identity document in the members, order and layout of one that AWS made, and has its
 * region sign it. The signed bytes are those of the plain document. */
#include "tests/aws-sim/identity.h"

#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/pkcs7.h"
#include "tests/aws-sim/region_key.h"

#include <openssl/evp.h>

enum { SIGNED_AFTER = 3, LINE_BYTES = 57, LINE_SIZE = 77 };

/* Of the launch, unless it was said otherwise; 0 where it is not readable. */
static time_t pending_time(const json_t *instance)
{
	const char *own = text_of(instance, "pending_time");
	time_t time;

	return time_read(*own ? own : text_of(instance, "launch_time"), &time) ? time : 0;
}

void identity_write(struct buffer *out, const json_t *instance)
{
	char pending[TIME_SIZE];

	time_write_seconds(pending_time(instance), pending);
	buffer_format(out,
		"{\n  \"accountId\" : \"%s\",\n  \"architecture\" : \"%s\",\n  \"availabilityZone\" : "
		"\"%s\",\n"
		"  \"billingProducts\" : null,\n  \"devpayProductCodes\" : null,\n"
		"  \"marketplaceProductCodes\" : null,\n  \"imageId\" : \"%s\",\n  \"instanceId\" : \"%s\",\n"
		"  \"instanceType\" : \"%s\",\n  \"kernelId\" : null,\n  \"pendingTime\" : \"%s\",\n"
		"  \"privateIp\" : \"%s\",\n  \"ramdiskId\" : null,\n  \"region\" : \"%s\",\n"
		"  \"version\" : \"2017-09-30\"\n}",
		text_of(instance, "account"), text_of(instance, "architecture"),
		text_of(instance, "availability_zone"), text_of(instance, "image"), text_of(instance, "id"),
		text_of(instance, "type"), pending, text_of(instance, "address"),
		text_of(instance, "region"));
}

static void base64_lines(struct buffer *out, const struct buffer *bytes)
{
	char line[LINE_SIZE];

	for (size_t at = 0; !bytes->failed && at < bytes->length; at += LINE_BYTES) {
		size_t length = bytes->length - at < LINE_BYTES ? bytes->length - at : LINE_BYTES;

		EVP_EncodeBlock((unsigned char *)line, (const unsigned char *)bytes->data + at, (int)length);
		buffer_format(out, "%s%s", at ? "\n" : "", line);
	}
	out->failed |= bytes->failed;
}

bool identity_sign(struct buffer *out, struct state *state, const json_t *instance)
{
	struct buffer document = { 0 }, blob = { 0 };
	struct region_key region;
	bool made;

	identity_write(&document, instance);
	made = region_key_open(state, text_of(instance, "region"), &region) &&
	       pkcs7_sign(&blob, &document, pending_time(instance) + SIGNED_AFTER, region.certificate,
		       region.key);
	if (made)
		base64_lines(out, &blob);
	region_key_close(&region);
	buffer_clear(&document);
	buffer_clear(&blob);
	return made && !out->failed;
}
