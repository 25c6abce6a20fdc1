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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { data, size }, page;
	struct iam_listing listing = nothing;
	bool held = false;

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
