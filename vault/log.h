#ifndef VAULT_LOG_H
#define VAULT_LOG_H
/* Log lines on standard error, of the server and of the member processes: one line of text on a terminal, one
 * JSON object elsewhere. Hostile bytes are escaped. Values are given as text; never a secret. */

enum level { LOG_INFO, LOG_WARNING, LOG_ERROR };

/* `event`: a stable code such as "listening". Then pairs of name and value, ended by NULL; a value that is
 * NULL is left out together with its name. Safe from any thread. */
void log_line(enum level, const char *event, ...) __attribute__((sentinel));

#endif
