/* Policy and anchors, swapped as one. Whoever took a snapshot keeps it: a request is decided by the rules
 * that it was admitted under. */
#include "server/rules.h"

#include <pthread.h>
#include <stdlib.h>

struct rules {
	pthread_mutex_t mutex;
	struct snapshot now;
	const unsigned char *challenge_key; /* the vault's, in locked memory */
};

void snapshot_clear(struct snapshot *snapshot)
{
	policy_free(snapshot->policy);
	anchors_free(snapshot->anchors);
	*snapshot = (struct snapshot){ NULL, NULL };
}

struct rules *rules_new(void)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (rules)
		pthread_mutex_init(&rules->mutex, NULL);
	return rules;
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	snapshot_clear(&rules->now);
	pthread_mutex_destroy(&rules->mutex);
	free(rules);
}

bool rules_load(struct rules *rules, const struct config *config, struct complaint *complaint)
{
	struct snapshot old, new = { .anchors = config_anchors(config, complaint) };

	if (new.anchors)
		new.policy = config_policy(config, new.anchors, complaint);
	if (!new.policy) {
		snapshot_clear(&new);
		return false;
	}
	anchors_set_challenge_key(new.anchors, rules->challenge_key);
	pthread_mutex_lock(&rules->mutex);
	old = rules->now;
	rules->now = new;
	pthread_mutex_unlock(&rules->mutex);
	snapshot_clear(&old);
	return true;
}

void rules_set_challenge_key(struct rules *rules, const unsigned char key[CHALLENGE_KEY_SIZE])
{
	rules->challenge_key = key;
	anchors_set_challenge_key(rules->now.anchors, key);
}

struct snapshot rules_get(struct rules *rules)
{
	struct snapshot snapshot;

	pthread_mutex_lock(&rules->mutex);
	snapshot = (struct snapshot){ policy_dup(rules->now.policy), anchors_dup(rules->now.anchors) };
	pthread_mutex_unlock(&rules->mutex);
	return snapshot;
}
