/* DescribeInstances' answers, page after page: what becomes a fact stood in the answer as the whole text of
 * an element, fits its grammar, and belongs to one instance alone. */
#include "aws/ec2.h"
#include "tests/fuzz/xml_answer.h"
#include "verifier/encoding.h"

static void address_fits(struct bytes answer, const char *text)
{
	struct in_addr address;

	MUST_HOLD(text[0] == '\0' || address_decode(text, &address));
	MUST_HOLD(stood(answer, text));
}

static void network_fits(struct bytes answer, const struct facts *facts)
{
	address_fits(answer, facts->primary_address);
	address_fits(answer, facts->public_address);
	MUST_HOLD(stood(answer, facts->primary_interface));
	MUST_HOLD(facts->primary_interface[0] ||
		  (!facts->primary_address[0] && !facts->interface_attach_time && !facts->n_groups));
	MUST_HOLD(facts->n_groups <= GROUPS_MAX);
	for (unsigned i = 0; i < facts->n_groups; i++)
		MUST_HOLD(stood(answer, facts->groups[i]));
}

static void times_fit(const struct facts *facts)
{
	MUST_HOLD(
		facts->launch_time >= 0 && facts->interface_attach_time >= 0 && facts->root_attach_time >= 0);
	MUST_HOLD(facts->root_volume_said || facts->root_attach_time == 0);
	MUST_HOLD(facts->http_hop_limit >= 0 && facts->http_hop_limit <= 999999999);
}

static void tags_fit(struct bytes answer, const struct facts *facts)
{
	MUST_HOLD(facts->n_tags <= TAGS_MAX);
	for (unsigned i = 0; i < facts->n_tags; i++) {
		const struct tag *tag = &facts->tags[i];

		MUST_HOLD(tag->key[0] && facts_tag(facts, tag->key) == tag->value);
		MUST_HOLD(stood(answer, tag->key) && stood(answer, tag->value));
	}
}

static void instance_fits(struct bytes answer, const struct facts *facts)
{
	const char *const texts[] = { facts->instance_id, facts->reservation_id, facts->owner_id,
		facts->state, facts->image_id, facts->instance_type, facts->private_dns, facts->public_dns,
		facts->vpc_id, facts->subnet_id, facts->availability_zone, facts->profile_arn,
		facts->http_tokens };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		MUST_HOLD(stood(answer, texts[i]));
	MUST_HOLD(facts->public_dns_said || !facts->public_dns[0]);
	network_fits(answer, facts);
	times_fit(facts);
	tags_fit(answer, facts);
}

static void answer_fits(struct bytes pages, const struct ec2_answer *answer)
{
	MUST_HOLD(answer->n_instances <= answer->size);
	MUST_HOLD(stood(pages, answer->next_token));
	for (unsigned i = 0; i < answer->n_instances; i++) {
		const struct facts *facts = &answer->instances[i];

		MUST_HOLD(facts->instance_id[0]);
		MUST_HOLD(ec2_answer_find(answer, facts->instance_id) == facts);
		instance_fits(pages, facts);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { data, size }, page;
	struct ec2_answer answer = { 0 };

	while (page_next(&rest, &page)) {
		char why[XML_WHY_SIZE] = "";
		bool added = ec2_answer_add(&answer, page, EC2_NAMESPACE, why);

		MUST_HOLD(added || is_said(why));
		if (!added)
			break;
		MUST_HOLD(rewritten(page) || holds(page, EC2_NAMESPACE));
		answer_fits((struct bytes){ data, (size_t)(page.data - data) + page.length }, &answer);
	}
	ec2_answer_clear(&answer);
	MUST_HOLD(!answer.instances && !answer.n_instances);
	return 0;
}
