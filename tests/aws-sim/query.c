/* The one door of the simulated APIs: reads the form, verifies the signature, finds the action, lets
 * it answer, spoils the answer where a fault is due, counts. It never answers a call whose signature
 * was not right, nor an unsigned one but of an action that needs no signature. */
#include "tests/aws-sim/query.h"

#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/sigv4_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct service *const services[] = { &ec2_service, &iam_service, &sts_service };
enum { N_SERVICES = sizeof services / sizeof *services };

/* Begins the answer, again if there was one. */
static void xml_restart(struct call *call, const struct tamper *tamper)
{
	xml_clear(&call->xml);
	xml_begin(&call->xml, call->service->declared, call->service->indent, tamper);
}

void call_error(struct call *call, int status, const char *code, const char *format, ...)
{
	char message[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	xml_restart(call, NULL);
	call->answer->status = status;
	snprintf(call->outcome, sizeof call->outcome, "%s", code);
	call->service->error(call, status, code, message);
}

/* The service that an unsigned or unreadable call most likely means. */
static const struct service *service_guess(const struct form *form)
{
	const char *version = form_value(form, "Version");

	for (size_t i = 0; version && i < N_SERVICES; i++)
		if (!strcmp(version, services[i]->version))
			return services[i];
	return &ec2_service;
}

static const struct service *service_find(const struct form *form, const char *scope)
{
	for (size_t i = 0; i < N_SERVICES; i++)
		if (!strcmp(scope, services[i]->scope))
			return services[i];
	return service_guess(form);
}

static const struct action *action_find(const struct service *service, const char *name)
{
	for (const struct action *action = service->actions; name && action->name; action++)
		if (!strcmp(action->name, name))
			return action;
	return NULL;
}

static void signature_refuse(struct call *call, const struct signer *signer)
{
	const struct service *service = call->service;

	switch (signer->verdict) {
	case SIGNATURE_MISSING:
		call_error(call, 403, "MissingAuthenticationToken", "%s", signer->detail);
		break;
	case SIGNATURE_INCOMPLETE:
		call_error(call, 400, "IncompleteSignature", "%s", signer->detail);
		break;
	case SIGNATURE_UNKNOWN_KEY:
		call_error(call, service->bad_key_status, service->bad_key_code, "%s", service->bad_key_text);
		break;
	case SIGNATURE_EXPIRED:
		call_error(call, service->expired_status, service->expired_code, "%s",
			service->expired_text ? service->expired_text : signer->detail);
		break;
	case SIGNATURE_TOKEN_EXPIRED:
		call_error(call, service->token_expired_status, service->token_expired_code, "%s",
			service->token_expired_text);
		break;
	default:
		call_error(call, 403, "SignatureDoesNotMatch", "%s", signer->detail);
	}
}

static bool request_is_form(const struct request *request)
{
	static const char type[] = "application/x-www-form-urlencoded";
	const char *given = request_header(request, "content-type");

	return given && !strncmp(given, type, strlen(type)) &&
	       (given[strlen(type)] == '\0' || given[strlen(type)] == ';' || given[strlen(type)] == ' ');
}

static void call_throttle(struct call *call)
{
	const struct service *service = call->service;

	call_error(call, service->throttled_status, service->throttled_code, "%s", service->throttled_text);
}

/* Instead of the answer, where a fault says so. */
static bool call_fails(struct call *call)
{
	switch (call->fault.mode) {
	case FAULT_THROTTLE:
		call_throttle(call);
		return true;
	case FAULT_ERROR_500:
		call_error(call, 500, "InternalError", "An internal error has occurred");
		return true;
	case FAULT_ERROR_503:
		call_error(call, 503, "ServiceUnavailable", "Service is unable to handle request.");
		return true;
	case FAULT_ERROR_200:
		call_error(call, 500, "InternalError", "An internal error has occurred");
		call->answer->status = 200;
		return true;
	default:
		return false;
	}
}

/* False, and an error: there is no such action, or not in this version. */
static bool operation_exists(struct call *call)
{
	const struct service *service = call->service;
	const char *name = form_value(&call->form, "Action"), *version = form_value(&call->form, "Version");
	bool right_version = version && !strcmp(version, service->version);

	if (call->action && right_version)
		return true;
	if (service->operations_have_versions)
		call_error(call, 400, "InvalidAction", "Could not find operation %.100s for version %.40s",
			name, version ? version : "NO_VERSION_SPECIFIED");
	else if (!call->action)
		call_error(call, 400, "InvalidAction", "The action %.100s is not valid for this web service.",
			name);
	else
		call_error(call, 400, "NoSuchVersion",
			"The requested version (%.40s) of service %s is not valid", version ? version : "",
			service->scope);
	return false;
}

/* A fault's `instance` is named by the call, or it is the one whose credentials sign it. */
static bool call_concerns(const void *context, const char *instance)
{
	const struct call *call = context;

	return form_mentions(&call->form, instance) || !strcmp(text_of(call->key, "session"), instance);
}

static void call_perform(struct call *call)
{
	struct tamper tamper;

	if (!operation_exists(call))
		return;
	if (!throttle_admits(&call->sim->throttle, call->account, call->region, call->service->scope)) {
		call_throttle(call);
		return;
	}
	fault_take(&call->sim->faults, call->action->name, call_concerns, call, &call->fault);
	if (call_fails(call))
		return;
	tamper = fault_tamper(&call->fault);
	xml_restart(call, &tamper);
	call->answer->status = 200;
	call->action->answer(call);
}

/* No form, or no action in it. */
static void call_homeless(struct call *call)
{
	const char *home = call->service->home;

	if (!home) {
		call_error(call, 400, "MissingAction", "The request is missing an Action parameter.");
		return;
	}
	call->answer->status = 302;
	answer_header(call->answer, "Location", home);
	snprintf(call->outcome, sizeof call->outcome, "redirect");
}

/* Everything that is decided before the action has its turn. */
static void call_admit(struct call *call, const struct request *request)
{
	struct sim *sim = call->sim;
	struct signer signer;
	bool read = form_parse(request->body, request->length, &call->form);

	sigv4_check(request, sim->state, clock_now(), sim->any_clock, &signer);
	call->service = service_find(&call->form, signer.service);
	call->action = action_find(call->service, form_value(&call->form, "Action"));
	call->key = signer.key;
	call->account = text_of(signer.key, "account");
	call->region = signer.region;
	if (signer.verdict != SIGNATURE_GOOD &&
		!(signer.verdict == SIGNATURE_MISSING && call->action && call->action->unsigned_too))
		signature_refuse(call, &signer);
	else if (!read)
		call_error(call, 400, "MalformedQueryString", "The query string contains a syntax error.");
	else if (!request_is_form(request) || !form_value(&call->form, "Action"))
		call_homeless(call);
	else
		call_perform(call);
}

static void call_finish(struct call *call)
{
	struct answer *answer = call->answer;

	if (call->xml.out.length) {
		buffer_text(&call->xml.out, "\n");
		answer->content_type = call->service->content_type;
	}
	answer->body = call->xml.out;
	answer_header(answer, "x-amzn-RequestId", call->request_id);
	answer_spoil(answer, &call->fault);
	answer->delay_ms += call->sim->throttle.delay_ms;
	count_call(call->sim->counters, call->action ? call->action->name : "unknown",
		call->fault.mode == FAULT_NONE ? call->outcome : fault_mode_name(call->fault.mode),
		call->ids);
	form_clear(&call->form);
}

static void query_route(struct sim *sim, const struct request *request, struct answer *answer)
{
	struct call call = { .sim = sim, .answer = answer, .outcome = "OK" };

	if (!id_uuid(call.request_id))
		return;
	call_admit(&call, request);
	if (call.action)
		request_record(sim->last, call.action->name, request, call.outcome);
	call_finish(&call);
}

void api_route(void *context, const struct request *request, struct answer *answer)
{
	static const char control[] = "/control/", container[] = "/container/";
	struct sim *sim = context;

	pthread_mutex_lock(&sim->lock);
	if (!strncmp(request->path, control, strlen(control)))
		control_route(sim, request->path + strlen(control), request, answer);
	else if (!strncmp(request->path, container, strlen(container)))
		container_route(sim, request->path + strlen(container), request, answer);
	else if (strcmp(request->path, "/") != 0 || request->has_query)
		answer->status = 404;
	else if (strcmp(request->method, "POST") != 0)
		answer->status = 405;
	else
		query_route(sim, request, answer);
	pthread_mutex_unlock(&sim->lock);
}
