/* The HTTP transport alone: what libmicrohttpd takes for a request with a release's body and an answer as
 * long as a release's. The flags are those of server/listener.c. */
#include "bench/parts.h"
#include "server/tls.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_BYTES = 2400, CONNECTION_MEMORY = 8 * 1024, CONNECTIONS = 1 << 20 };

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **context)
{
	static char text[ANSWER_BYTES];
	static int seen;
	struct MHD_Response *response;
	enum MHD_Result queued;

	(void)cls, (void)url, (void)method, (void)version, (void)data;
	if (!*context || *size) {
		*context = &seen;
		*size = 0;
		return MHD_YES;
	}
	response = MHD_create_response_from_buffer(sizeof text, text, MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "Cache-Control", "no-store");
	queued = MHD_queue_response(connection, 200, response);
	MHD_destroy_response(response);
	return queued;
}

static struct MHD_Daemon *daemon_start(struct tls *tls)
{
	const unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
			       (tls ? (unsigned)MHD_USE_POLL | MHD_USE_TLS : MHD_USE_EPOLL);
	struct MHD_OptionItem options[] = { { MHD_OPTION_HTTPS_CERT_CALLBACK2, 0,
						    tls ? tls_certificate_callback(tls) : NULL },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)tls_priorities }, { MHD_OPTION_END, 0, NULL } };

	return MHD_start_daemon(flags, 0, NULL, NULL, handle, NULL, MHD_OPTION_ARRAY,
		tls ? options : options + 2, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
}

bool hello_serve(const char *certificate, const char *key)
{
	static struct tls_files files;
	struct complaint complaint = { "" };
	struct tls *tls = NULL;
	struct MHD_Daemon *daemon;
	const union MHD_DaemonInfo *info;
	char byte;

	if (certificate) {
		snprintf(files.certificate, sizeof files.certificate, "%s", certificate);
		snprintf(files.key, sizeof files.key, "%s", key);
		tls = tls_open(&files, &complaint);
		if (!tls)
			return parts_failed(complaint.text);
	}
	daemon = daemon_start(tls);
	info = daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
	if (!info)
		return parts_failed("HTTP could not start");
	print_json(json_pack("{si}", "port", (int)info->port));
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	MHD_stop_daemon(daemon);
	tls_close(tls);
	return true;
}
