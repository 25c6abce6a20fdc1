#include "verifier/outcome.h"

#include "verifier/encoding.h"

#include <stdarg.h>
#include <stdio.h>

static void reason_fill(struct reason *reason, const char *code, const char *format, va_list arguments)
{
	reason->code = code;
	vsnprintf(reason->text, sizeof(reason->text), format, arguments);
	utf8_trim(reason->text);
}

enum outcome refused(struct reason *reason, const char *code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	reason_fill(reason, code, format, arguments);
	va_end(arguments);
	return REFUSED;
}

enum outcome unavailable(struct reason *reason, const char *code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	reason_fill(reason, code, format, arguments);
	va_end(arguments);
	return UNAVAILABLE;
}

enum outcome fault(struct reason *reason, const char *code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	reason_fill(reason, code, format, arguments);
	va_end(arguments);
	return FAULT;
}

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[] = { "fault", "refused", "unavailable", "ok" };

	return names[outcome];
}

bool complain(struct complaint *complaint, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(complaint->text, sizeof(complaint->text), format, arguments);
	va_end(arguments);
	return false;
}
