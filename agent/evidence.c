/* Gathers evidence: the identity document as AWS signed it, and a request to STS that only the holder of the
 * role's credentials can have signed. Must never keep, print or pass on the credentials themselves; the
 * session token alone goes to the server, which needs it to ask STS. */
#include "agent/evidence.h"

#include "aws/sigv4.h"
#include "verifier/encoding.h"
#include "verifier/json.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

static const char document_path[] = "/latest/dynamic/instance-identity/rsa2048";
static const char roles_path[] = "/latest/meta-data/iam/security-credentials/";

struct reading {
	const struct evidence_question *question;
	struct imds_session session;
	json_t *evidence;
	struct complaint *complaint;
};

static enum agent_exit not_now(const struct reading *reading, const char *what)
{
	complain(reading->complaint, "the instance metadata service: %s", what);
	return AGENT_GAVE_UP;
}

/* Takes the value. */
static enum agent_exit evidence_add(struct reading *reading, const char *kind, json_t *value)
{
	if (json_object_set_new(reading->evidence, kind, value) == 0)
		return AGENT_DONE;
	complain(reading->complaint, "out of memory");
	return AGENT_FAULT;
}

/* ---- the identity document */

static void lines_join(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text != '\n')
			*to++ = *text;
	}
	*to = '\0';
}

static enum agent_exit document_read(struct reading *reading)
{
	char *text = reading->session.value;

	if (!imds_get(&reading->session, document_path))
		return reading->session.status == 404 ? AGENT_DONE : AGENT_GAVE_UP;
	lines_join(text);
	if (!*text || strspn(text, BASE64) != strlen(text))
		return not_now(reading, "the signed identity document is not base64");
	return evidence_add(reading, "identity-document", json_string(text));
}

/* ---- the role's credentials */

/* *held: does the instance hold a role at all? It must be the asserted one then. */
static enum agent_exit role_read(struct reading *reading, bool *held)
{
	const char *asserted = reading->question->assertion->role;
	char *name = reading->session.value;

	*held = false;
	if (!imds_get(&reading->session, roles_path)) {
		if (reading->session.status != 404)
			return AGENT_GAVE_UP;
		*name = '\0';
	}
	name[strcspn(name, "\n")] = '\0';
	if (!*name)
		return reading->question->patient ? not_now(reading, "the instance shows no role yet")
						  : AGENT_DONE;
	if (!role_valid(name))
		return not_now(reading, "the name of the instance's role is none");
	if (strcmp(name, asserted) != 0) {
		complain(reading->complaint, "--role %s: this instance's role is %s", asserted, name);
		return AGENT_CONFIGURATION;
	}
	*held = true;
	return AGENT_DONE;
}

static bool member_copy(const json_t *object, const char *name, char *to, size_t size)
{
	const char *text = json_text(object, name);

	return text && *text && snprintf(to, size, "%s", text) < (int)size;
}

/* NULL: they are all right; otherwise what is wrong with them. */
static const char *credentials_take(const json_t *object, time_t now, struct role_credentials *credentials)
{
	const char *code = json_text(object, "Code");
	const char *expiration = json_text(object, "Expiration");
	long long microseconds;

	if (!code || strcmp(code, "Success") != 0)
		return "the role's credentials are not there yet";
	if (!member_copy(
		    object, "AccessKeyId", credentials->access_key_id, sizeof(credentials->access_key_id)) ||
		!member_copy(object, "SecretAccessKey", credentials->secret_access_key,
			sizeof(credentials->secret_access_key)) ||
		!member_copy(object, "Token", credentials->session_token, sizeof(credentials->session_token)))
		return "the role's credentials lack a part";
	if (!expiration || !timestamp_decode(expiration, &microseconds))
		return "the role's credentials do not say when they expire";
	return microseconds / 1000000 > now ? NULL : "the role's credentials have expired, by this clock";
}

static enum agent_exit credentials_read(struct reading *reading, struct role_credentials *credentials)
{
	char path[sizeof(roles_path) + ROLE_SIZE];
	const char *text = reading->session.value, *wrong;
	json_t *object;

	snprintf(path, sizeof(path), "%s%s", roles_path, reading->question->assertion->role);
	if (!imds_get(&reading->session, path))
		return AGENT_GAVE_UP;
	object = json_strict(
		(struct bytes){ (const unsigned char *)text, strlen(text) }, NULL, NULL, NULL, 0);
	wrong = credentials_take(object, reading->question->now, credentials);
	json_decref(object);
	return wrong ? not_now(reading, wrong) : AGENT_DONE;
}

/* ---- the proof of the caller */

static enum agent_exit proof_sign(
	struct reading *reading, const struct role_credentials *credentials, const char *host)
{
	const struct evidence_question *question = reading->question;
	struct caller_proof proof = { 0 };
	enum agent_exit status = AGENT_GAVE_UP;

	caller_binding(question->challenge, question->recipient, proof.binding);
	if (sigv4_sign_caller(credentials, question->assertion->region, host, question->now, &proof))
		status = evidence_add(reading, "caller-identity",
			json_pack("{s:s, s:s, s:s}", "authorization", proof.authorization, "x-amz-date",
				proof.amz_date, "x-amz-security-token", proof.security_token));
	else
		complain(reading->complaint, "the role's credentials are none that can be signed with");
	OPENSSL_cleanse(&proof, sizeof(proof));
	return status;
}

static enum agent_exit caller_read(struct reading *reading)
{
	struct role_credentials credentials;
	char host[STS_HOST_SIZE];
	bool held;
	enum agent_exit status = role_read(reading, &held);

	if (status != AGENT_DONE || !held || !sigv4_sts_host(reading->question->assertion->region, host))
		return status;
	status = credentials_read(reading, &credentials);
	if (status == AGENT_DONE)
		status = proof_sign(reading, &credentials, host);
	OPENSSL_cleanse(&credentials, sizeof(credentials));
	return status;
}

static enum agent_exit reading_make(struct reading *reading)
{
	enum agent_exit status;

	if (!reading->evidence) {
		complain(reading->complaint, "out of memory");
		return AGENT_FAULT;
	}
	if (!imds_open(reading->question->imds, &reading->session, reading->complaint))
		return AGENT_GAVE_UP;
	status = document_read(reading);
	return status == AGENT_DONE ? caller_read(reading) : status;
}

enum agent_exit evidence_read(
	const struct evidence_question *question, json_t **evidence, struct complaint *complaint)
{
	struct reading reading = { .question = question, .evidence = json_object(), .complaint = complaint };
	enum agent_exit status = reading_make(&reading);

	imds_close(&reading.session);
	*evidence = status == AGENT_DONE ? reading.evidence : NULL;
	if (status != AGENT_DONE)
		json_decref(reading.evidence);
	return status;
}
