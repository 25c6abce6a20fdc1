/* Keeps each account's credentials apart. Must never find credentials for an account that is not in the
 * configuration. */
#include "aws/principals.h"

#include "aws/call.h"
#include "aws/chain.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct assumed {
	struct service sts; /* of the account's first region, signed with the base credentials */
	struct credentials *credentials;
};

struct principals {
	const struct aws_settings *settings;
	const struct caller *caller;
	struct service sts; /* of the base credentials' own, for a web identity: unsigned */
	struct credentials *base;
	struct assumed of[AWS_ACCOUNTS_MAX]; /* credentials NULL: the base ones */
};

static long long clock_read(void)
{
	return time(NULL);
}

/* The one that the base credentials belong to; NULL: none. */
static const struct aws_account *base_account(const struct aws_settings *settings)
{
	for (unsigned i = 0; i < settings->n_accounts; i++)
		if (settings->accounts[i].assume_role[0] == '\0')
			return &settings->accounts[i];
	return NULL;
}

static bool service_find(struct service *service, const struct aws_settings *settings,
	const struct aws_account *account, struct complaint *complaint)
{
	const struct aws_region *region = account->n_regions ? aws_region_find(account->regions[0]) : NULL;

	if (!region)
		return complain(complaint,
			"aws.accounts.%s.regions: name at least one region of AWS that this version knows, "
			"as in us-east-1",
			account->id);
	return service_sts(service, region, settings->sts_endpoint) ||
	       complain(complaint, "aws.endpoints.sts: must be http[s]://host[:port] and nothing more");
}

static bool base_open(struct principals *principals, struct complaint *complaint)
{
	const struct aws_settings *settings = principals->settings;
	const struct aws_account *account = base_account(settings);
	struct source *source;

	if (!service_find(&principals->sts, settings, account ? account : &settings->accounts[0], complaint))
		return false;
	source = chain_choose(principals->caller, &principals->sts, settings->session, complaint);
	if (!source)
		return false;
	principals->base = credentials_new(
		source, account ? account->id : "base", &settings->teller, clock_read);
	return principals->base || complain(complaint, "out of memory");
}

static bool assumed_open(struct principals *principals, unsigned i, struct complaint *complaint)
{
	const struct aws_account *account = &principals->settings->accounts[i];
	struct assumed *assumed = &principals->of[i];
	struct source *source;
	struct role role;

	if (account->assume_role[0] == '\0')
		return true;
	if (!service_find(&assumed->sts, principals->settings, account, complaint))
		return false;
	assumed->sts.credentials = principals->base;
	strcpy(role.arn, account->assume_role);
	strcpy(role.external_id, account->external_id);
	strcpy(role.session, principals->settings->session);
	source = source_role(principals->caller, &assumed->sts, &role);
	if (source)
		assumed->credentials = credentials_new(
			source, account->id, &principals->settings->teller, clock_read);
	return assumed->credentials || complain(complaint, "out of memory");
}

struct principals *principals_new(
	const struct aws_settings *settings, const struct caller *caller, struct complaint *complaint)
{
	struct principals *principals = calloc(1, sizeof(*principals));
	bool opened;

	if (!principals) {
		complain(complaint, "out of memory");
		return NULL;
	}
	principals->settings = settings;
	principals->caller = caller;
	opened = base_open(principals, complaint);
	for (unsigned i = 0; i < settings->n_accounts && opened; i++)
		opened = assumed_open(principals, i, complaint);
	if (opened)
		return principals;
	principals_free(principals);
	return NULL;
}

void principals_free(struct principals *principals)
{
	if (!principals)
		return;
	for (unsigned i = 0; i < AWS_ACCOUNTS_MAX; i++)
		credentials_free(principals->of[i].credentials);
	credentials_free(principals->base);
	free(principals);
}

struct credentials *principals_of(const struct principals *principals, const char *account)
{
	const struct aws_settings *settings = principals->settings;

	for (unsigned i = 0; i < settings->n_accounts; i++) {
		if (strcmp(settings->accounts[i].id, account) != 0)
			continue;
		return settings->accounts[i].assume_role[0] ? principals->of[i].credentials
							    : principals->base;
	}
	return NULL;
}

/* The base ones first: the others may wait for them. */
void principals_advance(struct principals *principals, long long now)
{
	credentials_advance(principals->base, now);
	for (unsigned i = 0; i < principals->settings->n_accounts; i++)
		if (principals->of[i].credentials)
			credentials_advance(principals->of[i].credentials, now);
}

long long principals_next(const struct principals *principals)
{
	long long next = credentials_next(principals->base);

	for (unsigned i = 0; i < principals->settings->n_accounts; i++) {
		const struct credentials *credentials = principals->of[i].credentials;
		long long next_here = credentials ? credentials_next(credentials) : LLONG_MAX;

		if (next_here < next)
			next = next_here;
	}
	return next;
}

bool principals_status(const struct principals *principals, unsigned i, struct credentials_status *status)
{
	if (i == 0) {
		credentials_status(principals->base, status);
		return true;
	}
	for (unsigned j = 0; j < principals->settings->n_accounts; j++)
		if (principals->of[j].credentials && --i == 0) {
			credentials_status(principals->of[j].credentials, status);
			return true;
		}
	return false;
}
