/* What the configuration names besides itself: the certificates' folder and the policy, loaded and held
 * against each other. Reads files, and nothing else. */
#include "server/config.h"

#include "aws/regions.h"
#include "verifier/protect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned char *config_file_read(const char *path, size_t max, size_t *length, struct complaint *complaint)
{
	unsigned char *text = NULL;
	struct stat status;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0) {
		complain(complaint, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(status.st_mode) || status.st_size > (off_t)max) {
		complain(complaint, "%s: not a regular file of at most %zu bytes", path, max);
		goto out;
	}
	if (!protect_file(&status, path, complaint))
		goto out;
	text = malloc((size_t)status.st_size + 1);
	*length = 0;
	while (text && *length < (size_t)status.st_size) {
		got = read(fd, text + *length, (size_t)status.st_size - *length);
		if (got <= 0)
			break;
		*length += (size_t)got;
	}
	if (!text || *length < (size_t)status.st_size) {
		complain(complaint, "%s: could not be read whole", path);
		free(text);
		text = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	return text;
}

/* ---- the certificates */

/* "us-east-1.pem" -> "us-east-1"; false for any other name. */
static bool region_of_file(const char *name, char region[REGION_SIZE])
{
	const char *dot = strrchr(name, '.');

	if (!dot || strcmp(dot, ".pem") != 0 || (size_t)(dot - name) >= REGION_SIZE)
		return false;
	memcpy(region, name, (size_t)(dot - name));
	region[dot - name] = '\0';
	return aws_region_find(region) != NULL;
}

static bool anchor_load(
	const struct config *config, const char *name, struct anchors *anchors, struct complaint *complaint)
{
	char path[PATH_MAX + NAME_MAX + 2];
	char region[REGION_SIZE];
	struct complaint wrong = { "" };
	unsigned char *text;
	size_t length;
	bool added;

	snprintf(path, sizeof(path), "%s/%s", config->identity_certificates, name);
	if (!region_of_file(name, region))
		return complain(
			complaint, "%s: not the name of a region with .pem behind it; move it away", path);
	text = config_file_read(path, ANCHOR_PEM_MAX, &length, complaint);
	if (!text)
		return false;
	added = anchors_add(anchors, region, (struct bytes){ text, length }, &wrong);
	free(text);
	return added || complain(complaint, "%s: %.500s", path, wrong.text);
}

static bool folder_load(const struct config *config, struct anchors *anchors, struct complaint *complaint)
{
	DIR *folder = opendir(config->identity_certificates);
	const struct dirent *entry;
	bool loaded = true;

	if (!folder)
		return complain(complaint, "%s: %s", config->identity_certificates, strerror(errno));
	while (loaded && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			loaded = anchor_load(config, entry->d_name, anchors, complaint);
	closedir(folder);
	return loaded;
}

struct anchors *config_anchors(const struct config *config, struct complaint *complaint)
{
	struct anchors *anchors = anchors_new();

	if (!anchors) {
		complain(complaint, "out of memory");
		return NULL;
	}
	if (!config->identity_certificates[0] || folder_load(config, anchors, complaint))
		return anchors;
	anchors_free(anchors);
	return NULL;
}

/* ---- the policy */

static bool region_configured(const struct aws_account *account, const char *region)
{
	unsigned i;

	for (i = 0; i < account->n_regions; i++)
		if (strcmp(account->regions[i], region) == 0)
			return true;
	return false;
}

static const struct aws_account *account_configured(const struct config *config, const char *id)
{
	unsigned i;

	for (i = 0; i < config->aws.n_accounts; i++)
		if (strcmp(config->aws.accounts[i].id, id) == 0)
			return &config->aws.accounts[i];
	return NULL;
}

static bool rule_configured(const struct config *config, const struct rule *rule, struct complaint *complaint)
{
	const struct aws_account *account;
	const char *id;
	const char *region;
	size_t i;
	size_t j;

	for (i = 0; (id = rule_account(rule, i)); i++) {
		account = account_configured(config, id);
		if (!account)
			return complain(complaint,
				"%s: rule \"%s\" names account %s, which %s does not configure under "
				"aws.accounts",
				config->policy, rule_name(rule), id, config->path);
		for (j = 0; (region = rule_region(rule, j)); j++)
			if (!region_configured(account, region))
				return complain(complaint,
					"%s: rule \"%s\" names region %s, which %s does not configure for "
					"account %s",
					config->policy, rule_name(rule), region, config->path, id);
	}
	return true;
}

/* A document can be demanded only where there is something to verify it with. */
static bool rule_anchored(const struct config *config, const struct rule *rule, const struct anchors *anchors,
	struct complaint *complaint)
{
	const char *region;
	size_t i;

	for (i = 0; rule_demands_document(rule) && (region = rule_region(rule, i)); i++)
		if (!anchors_have(anchors, region))
			return complain(complaint,
				"%s: rule \"%s\" demands an identity-document, and there is no certificate "
				"for %s; "
				"add it: vouchsafe certificates add FILE --region %s",
				config->policy, rule_name(rule), region, region);
	return true;
}

struct policy *config_policy(
	const struct config *config, const struct anchors *anchors, struct complaint *complaint)
{
	struct policy *policy;
	unsigned char *text;
	size_t length;
	size_t i;

	text = config_file_read(config->policy, POLICY_BYTES_MAX, &length, complaint);
	if (!text)
		return NULL;
	policy = policy_load(config->policy, (struct bytes){ text, length }, complaint);
	free(text);
	for (i = 0; policy && i < policy_rules(policy); i++) {
		const struct rule *rule = policy_rule(policy, i);

		if (rule_configured(config, rule, complaint) &&
			rule_anchored(config, rule, anchors, complaint))
			continue;
		policy_free(policy);
		policy = NULL;
	}
	return policy;
}
