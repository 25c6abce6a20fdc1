/* Exact matching: a path has one spelling, and all others are not found. */
#include "server/route.h"

#include <stdio.h>
#include <string.h>

static bool path_match(const char *pattern, const char *text, size_t length, char part[UUID_SIZE])
{
	static const char id[] = "{id}";
	const char *hole = strstr(pattern, id);
	size_t before = hole ? (size_t)(hole - pattern) : strlen(pattern);
	const char *behind = hole ? hole + sizeof(id) - 1 : "";
	size_t hole_length = hole ? UUID_SIZE - 1 : 0;

	if (length != before + hole_length + strlen(behind) || strncmp(pattern, text, before) != 0 ||
		strncmp(behind, text + before + hole_length, strlen(behind)) != 0)
		return false;
	snprintf(part, UUID_SIZE, "%.*s", (int)hole_length, text + before);
	return !hole || uuid_valid(part);
}

const struct route *route_find(
	const struct route *routes, const char *method, const char *text, struct target *target)
{
	const char *end = strchrnul(text, '?');
	const struct route *route;

	*target = (struct target){ .query = *end ? end + 1 : end, .has_query = *end == '?' };
	for (route = routes; route->method; route++) {
		if (!path_match(route->path, text, (size_t)(end - text), target->part))
			continue;
		if (strcmp(route->method, method) == 0)
			return route;
		target->allow = route->method;
	}
	return NULL;
}
