/* ListInstanceProfilesForRole's answers, page after page: a profile is held only where its whole ARN stands
 * in a page of its own, and pages together say what they say alone. */
#include "aws/iam.h"
#include "tests/fuzz/xml_answer.h"

#define ROLE "web-tier"
#define PROFILE "arn:aws:iam::123456789012:instance-profile/web"

static const struct iam_listing nothing = { .role = ROLE, .profile_arn = PROFILE };

/* With one whom no page names, what it then holds it holds for want of any role's name. */
static bool held_for_nobody(struct bytes page)
{
	struct iam_listing listing = { .role = "nobody at all", .profile_arn = PROFILE };
	char why[XML_WHY_SIZE];

	MUST_HOLD(iam_listing_add(&listing, page, IAM_NAMESPACE, why));
	return listing.held;
}

static void page_fits(struct bytes page, const struct iam_listing *listing)
{
	MUST_HOLD(rewritten(page) || holds(page, IAM_NAMESPACE));
	MUST_HOLD(!listing->held || stood(page, PROFILE));
	MUST_HOLD(!listing->held || stood(page, ROLE) || held_for_nobody(page));
	MUST_HOLD(stood(page, listing->marker));
	MUST_HOLD(!listing->marker[0] || stood(page, "true"));
	MUST_HOLD(listing->marker[0] || stood(page, "false"));
	MUST_HOLD(!listing->no_such_role && memchr(listing->listed, '\0', sizeof(listing->listed)));
}

/* Printable, and nothing that XML would read as something else. */
static bool word_copy(struct bytes part, char *to, size_t size)
{
	size_t i;

	if (part.length == 0 || part.length >= size)
		return false;
	for (i = 0; i < part.length && isgraph(part.data[i]) && !strchr("<>&", part.data[i]); i++)
		to[i] = (char)part.data[i];
	to[i] = '\0';
	return i == part.length;
}

static void good_page(struct bytes input)
{
	static const char form[] =
		"<ListInstanceProfilesForRoleResponse xmlns=\"" IAM_NAMESPACE
		"\"><ListInstanceProfilesForRoleResult><IsTruncated>false</IsTruncated>"
		"<InstanceProfiles><member><Arn>first</Arn><Roles><member><RoleName>" ROLE
		"</RoleName></member></Roles></member><member><Arn>%s</Arn><Roles><member><Arn>" PROFILE
		"</Arn><RoleName>%s</RoleName></member></Roles></member>"
		"<member><Arn>another</Arn></member></InstanceProfiles>"
		"</ListInstanceProfilesForRoleResult></ListInstanceProfilesForRoleResponse>";
	char role[65], arn[500], text[1200], why[XML_WHY_SIZE];
	struct iam_listing listing = nothing;
	struct bytes part;

	if (!page_next(&input, &part) || !word_copy(part, role, sizeof(role)) || !page_next(&input, &part) ||
		!word_copy(part, arn, sizeof(arn)))
		return;
	part = (struct bytes){ (const unsigned char *)text,
		(size_t)snprintf(text, sizeof(text), form, arn, role) };
	MUST_HOLD(iam_listing_add(&listing, part, IAM_NAMESPACE, why));
	MUST_HOLD(listing.held == (strcmp(role, ROLE) == 0 && strcmp(arn, PROFILE) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { data, size }, page;
	struct iam_listing listing = nothing;
	bool held = false;

	if (size > 0 && data[0] != '<') {
		good_page(rest);
		return 0;
	}
	while (page_next(&rest, &page)) {
		struct iam_listing alone = nothing;
		char why[XML_WHY_SIZE] = "", why_alone[XML_WHY_SIZE] = "";
		bool added = iam_listing_add(&listing, page, IAM_NAMESPACE, why);

		MUST_HOLD(added || is_said(why));
		MUST_HOLD(iam_listing_add(&alone, page, IAM_NAMESPACE, why_alone) == added);
		MUST_HOLD(strcmp(why, why_alone) == 0);
		if (!added)
			break;
		page_fits(page, &alone);
		held |= alone.held;
		MUST_HOLD(listing.held == held && strcmp(listing.marker, alone.marker) == 0);
	}
	return 0;
}
