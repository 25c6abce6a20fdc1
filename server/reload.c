/* Loading the rules anew. Never leaves the server without rules, and never with half of them. */
#include "server/reload.h"

#include "server/listener.h"
#include "server/note.h"
#include "server/rules.h"
#include "server/server.h"
#include "vault/log.h"
#include "verifier/encoding.h"

#include <time.h>

/* seconds before a certificate's end */
enum { EXPIRY_WARNING = 60 * 24 * 3600, LISTENER_WARNING = 14 * 24 * 3600 };

static void warn_policy(void *context, const char *text)
{
	(void)context;
	log_line(LOG_WARNING, "policy-warning", "text", text, NULL);
}

/* A certificate that ends makes its region's instances fail on a day that nobody chose. */
static void warn_certificates(const struct anchors *anchors, time_t now)
{
	struct anchor_about about;
	char until[TIMESTAMP_SIZE];
	size_t i;

	for (i = 0; (about = anchors_about(anchors, i)).region; i++) {
		timestamp_encode((long long)about.not_after * 1000000, until);
		if (about.not_after < now + EXPIRY_WARNING)
			log_line(LOG_WARNING, "certificate-expires", "region", about.region, "not_after",
				until, "mend", "vouchsafe certificates add FILE --region REGION", NULL);
		if (!about.published)
			log_line(LOG_WARNING, "certificate-not-aws", "region", about.region, "text",
				"not the one that AWS publishes for this region", NULL);
	}
}

void reload_warn(struct server *server)
{
	struct snapshot rules = rules_get(server->rules);

	policy_warnings(rules.policy, warn_policy, NULL);
	warn_certificates(rules.anchors, time(NULL));
	snapshot_clear(&rules);
}

void reload(struct server *server)
{
	struct complaint complaint = { "" };
	struct snapshot rules;

	if (!rules_load(server->rules, server->config, &complaint)) {
		log_line(LOG_ERROR, "not-reloaded", "text", complaint.text, "mend",
			"mend the file and send SIGHUP again; the old rules stay in force", NULL);
		return;
	}
	reload_warn(server);
	rules = rules_get(server->rules);
	log_line(LOG_INFO, "reloaded", "policy", policy_sha256(rules.policy), NULL);
	if (!note_policy_loaded(server, policy_sha256(rules.policy)))
		log_line(LOG_ERROR, "event-lost", "name", "policy.loaded", NULL);
	snapshot_clear(&rules);
}

static void warn_end(const char *event, const char *name, long long not_after)
{
	char until[TIMESTAMP_SIZE];

	if (!not_after || not_after > time(NULL) + LISTENER_WARNING)
		return;
	timestamp_encode(not_after * 1000000, until);
	log_line(LOG_WARNING, event, "listener", name, "not_after", until, "mend", "renew it and send SIGHUP",
		NULL);
}

void reload_warn_listener(struct listener *listener, const char *name)
{
	warn_end("tls-certificate-expires", name, listener_not_after(listener));
	warn_end("tls-client-trust-expires", name, listener_trust_ends(listener));
}

void reload_listener(struct listener *listener, const char *name)
{
	struct complaint complaint = { "" };

	if (!listener_reload(listener, &complaint)) {
		log_line(LOG_ERROR, "not-reloaded", "listener", name, "text", complaint.text, "mend",
			"mend the file and send SIGHUP again; the old certificates stay in force", NULL);
		return;
	}
	if (listener_not_after(listener))
		log_line(LOG_INFO, "reloaded", "listener", name, NULL);
	reload_warn_listener(listener, name);
}
