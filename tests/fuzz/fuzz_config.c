/* vouchsafe.json: refused with the place and the mend, or a configuration that cannot say two things. */
#include "server/config.h"
#include "tests/fuzz/file.h"

#include <arpa/inet.h>
#include <string.h>

static bool loopback(const struct sockaddr_in *address)
{
	return ntohl(address->sin_addr.s_addr) >> 24 == 127;
}

static void forwarding_fits(const struct forwarding *forwarding)
{
	MUST_HOLD((forwarding->by == FORWARDED_BY_NOBODY) == (forwarding->n_proxies == 0));
	MUST_HOLD(forwarding->n_proxies <= PROXIES_MAX);
	MUST_HOLD(forwarding->hops >= 1 && forwarding->hops <= PROXY_HOPS_MAX);
	MUST_HOLD(forwarding->hops == 1 || forwarding->by == FORWARDED_BY_HEADER);
	for (unsigned i = 0; i < forwarding->n_proxies; i++) {
		const struct network *network = &forwarding->proxies[i];
		uint32_t address = ntohl(network->address.s_addr);

		MUST_HOLD(network->bits >= 8 && network->bits <= 32);
		MUST_HOLD(network->bits == 32 || (uint32_t)(address << network->bits) == 0);
		MUST_HOLD(network_holds(network, network->address));
	}
}

static void aws_fits(const struct aws_settings *aws, bool development)
{
	MUST_HOLD(aws->n_accounts >= 1 && aws->n_accounts <= AWS_ACCOUNTS_MAX);
	for (unsigned i = 0; i < aws->n_accounts; i++) {
		const struct aws_account *account = &aws->accounts[i];

		MUST_HOLD(account_id_valid(account->id));
		MUST_HOLD(account->n_regions >= 1 && account->n_regions <= AWS_REGIONS_MAX);
		for (unsigned k = 0; k < account->n_regions; k++)
			MUST_HOLD(region_valid(account->regions[k]));
	}
	MUST_HOLD(development || (!aws->ec2_endpoint[0] && !aws->iam_endpoint[0] && !aws->sts_endpoint[0]));
}

static void config_fits(const struct config *config)
{
	MUST_HOLD(name_valid(config->node));
	MUST_HOLD(config->waiting >= 1 && config->waiting <= WAITING_MAX);
	MUST_HOLD(config->deadline_ms >= 1000 && config->deadline_ms <= 120000);
	MUST_HOLD(config->drain_ms >= 0 && config->drain_ms <= 600000);
	MUST_HOLD(!config->development || loopback(&config->listen));
	MUST_HOLD(config->policy[0] && config->vault[0] && config->store[0]);
	forwarding_fits(&config->forwarding);
	aws_fits(&config->aws, config->development);
	MUST_HOLD(config->n_access <= AUDIT_ACCESS_MAX);
	for (unsigned i = 0; i < config->n_access; i++)
		MUST_HOLD(name_valid(config->access[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	struct complaint complaint = { "" };
	const char *path = file_of(data, size);

	if (config_load(path, &config, &complaint))
		config_fits(&config);
	else
		MUST_HOLD(strncmp(complaint.text, path, strlen(path)) == 0);
	return 0;
}
