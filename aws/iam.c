/* ListInstanceProfilesForRole: composes the question and looks for one profile in the answer's pages. Must
 * never take a profile for the wanted one by anything less than its whole ARN, which holds partition, account
 * and path. */
#include "aws/iam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARN_SIZE = 1024, NAME_MAX_SIZE = 129, WORD_SIZE = 8 };

void iam_form(struct form *form, const char *role, const char *marker)
{
	form_add(form, "Action", "ListInstanceProfilesForRole");
	if (marker[0] != '\0')
		form_add(form, "Marker", marker);
	form_add(form, "MaxItems", "1000");
	form_add(form, "RoleName", role);
	form_add(form, "Version", IAM_VERSION);
}

struct page {
	struct iam_listing *listing;
	bool complete; /* InstanceProfiles was there */
	char truncated[WORD_SIZE], marker[IAM_MARKER_SIZE];
	char arn[ARN_SIZE], role_name[NAME_MAX_SIZE]; /* of the profile that is being read */
	bool has_roles, has_role;
};

static bool profiles_begin(void *context)
{
	struct page *page = context;

	page->complete = true;
	return true;
}

static bool profile_begin(void *context)
{
	struct page *page = context;

	page->arn[0] = '\0';
	page->has_roles = page->has_role = false;
	return true;
}

static bool role_begin(void *context)
{
	struct page *page = context;

	page->role_name[0] = '\0';
	return true;
}

static bool role_end(void *context)
{
	struct page *page = context;

	page->has_roles = true;
	page->has_role |= strcmp(page->role_name, page->listing->role) == 0;
	return true;
}

static void listed_add(struct iam_listing *listing, const char *arn)
{
	size_t length = strlen(listing->listed);

	snprintf(listing->listed + length, sizeof(listing->listed) - length, "%s%s", length ? " " : "", arn);
}

/* IAM takes a role's name in any mixture of cases. Where it says which roles the profile holds, the asserted
 * one must be among them letter by letter. */
static bool profile_end(void *context)
{
	struct page *page = context;
	struct iam_listing *listing = page->listing;

	if (page->arn[0] == '\0')
		return false;
	if (!page->has_roles || page->has_role)
		listing->held |= strcmp(page->arn, listing->profile_arn) == 0;
	listed_add(listing, page->arn);
	return true;
}

#define KEEP(member) XML_STORE(struct page, member)

static const struct xml_rule rules[] = {
	{ 1, "ListInstanceProfilesForRoleResult" },
	{ 2, "IsTruncated", KEEP(truncated) },
	{ 2, "Marker", KEEP(marker) },
	{ 2, "InstanceProfiles", .begin = profiles_begin },
	{ 3, "member", .many = true, .begin = profile_begin, .end = profile_end },
	{ 4, "Arn", KEEP(arn) },
	{ 4, "Roles" },
	{ 5, "member", .many = true, .begin = role_begin, .end = role_end },
	{ 6, "RoleName", KEEP(role_name) },
};

static const struct xml_outline outline = { "ListInstanceProfilesForRoleResponse", rules,
	sizeof(rules) / sizeof(rules[0]) };

static bool wrong(char why[XML_WHY_SIZE], const char *element)
{
	snprintf(why, XML_WHY_SIZE, "%s: is not there or not of its form", element);
	return false;
}

/* Whether there is a next page must be said, and if so which. */
static bool marker_settle(const struct page *page, struct iam_listing *listing, char why[XML_WHY_SIZE])
{
	bool truncated = strcmp(page->truncated, "true") == 0;

	if (!page->complete)
		return wrong(why, "InstanceProfiles");
	if (!truncated && strcmp(page->truncated, "false") != 0)
		return wrong(why, "IsTruncated");
	if (truncated && page->marker[0] == '\0')
		return wrong(why, "Marker");
	strcpy(listing->marker, truncated ? page->marker : "");
	return true;
}

bool iam_listing_add(
	struct iam_listing *listing, struct bytes text, const char *namespace, char why[XML_WHY_SIZE])
{
	struct page *page = calloc(1, sizeof(*page));
	bool added = false;

	if (!page) {
		snprintf(why, XML_WHY_SIZE, "out of memory");
		return false;
	}
	page->listing = listing;
	if (!xml_read(&outline, namespace, text, page, why) || !marker_settle(page, listing, why))
		goto out;
	added = true;
out:
	free(page);
	return added;
}
