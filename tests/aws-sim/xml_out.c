/* Writes XML and, when told, spoils one element of it as it is closed: see xml_out.h. */
#include "tests/aws-sim/xml_out.h"

#include <stdio.h>
#include <string.h>

static void xml_line(struct xml *xml, unsigned depth)
{
	static const char line[] =
		"\n                                                                               ";
	size_t length = 1 + depth * xml->indent;

	if (!xml->out.length)
		return;
	buffer_add(&xml->out, line, length < sizeof line ? length : sizeof line - 1);
}

static const char *escape_of(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	default:
		return "&#xd;";
	}
}

static void xml_escaped(struct xml *xml, const char *text)
{
	while (*text) {
		size_t plain = strcspn(text, "&<>\"\r");

		buffer_add(&xml->out, text, plain);
		text += plain;
		if (*text)
			buffer_text(&xml->out, escape_of(*text++));
	}
}

void xml_begin(struct xml *xml, bool declared, unsigned indent, const struct tamper *tamper)
{
	*xml = (struct xml){ .indent = indent };
	if (tamper)
		xml->tamper = *tamper;
	xml->in_subject = !xml->tamper.subject || !*xml->tamper.subject;
	if (declared)
		buffer_text(&xml->out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
}

void xml_clear(struct xml *xml)
{
	buffer_clear(&xml->out);
}

static void xml_start(struct xml *xml, const char *name, const char *namespace)
{
	if (xml->depth == XML_DEPTH_MAX) {
		xml->out.failed = true;
		return;
	}
	xml->levels[xml->depth].name = name;
	xml->levels[xml->depth].start = xml->out.length;
	xml->levels[xml->depth].anchor = false;
	xml_line(xml, xml->depth++);
	buffer_format(&xml->out, namespace ? "<%s xmlns=\"%s\">" : "<%s>", name, namespace);
	xml->opened_line = true;
}

void xml_open_root(struct xml *xml, const char *name, const char *namespace)
{
	xml_start(xml, name, namespace);
}

void xml_open(struct xml *xml, const char *name)
{
	xml_start(xml, name, NULL);
}

static bool level_is_member(const struct xml *xml, unsigned level)
{
	return !strcmp(xml->levels[level].name, "item") || !strcmp(xml->levels[level].name, "member");
}

/* Whether the names behind `level`, down to the innermost element, are those of the field to spoil. */
static bool field_begins_behind(const struct xml *xml, unsigned level)
{
	const char *field = xml->tamper.field;

	for (unsigned i = level + 1; i < xml->depth; i++) {
		size_t length = strlen(xml->levels[i].name);

		if (level_is_member(xml, i))
			continue;
		if (strncmp(field, xml->levels[i].name, length))
			return false;
		field += length;
		if (*field == '/')
			field++;
		else if (*field || i + 1 < xml->depth)
			return false;
	}
	return !*field && !level_is_member(xml, xml->depth - 1);
}

static bool element_is_spoilt(const struct xml *xml)
{
	unsigned anchor = xml->depth - 1;

	if (xml->tamper.mode == TAMPER_NOT || !xml->in_subject)
		return false;
	while (anchor > 0 && !xml->levels[--anchor].anchor)
		;
	return field_begins_behind(xml, anchor) || (anchor > 0 && field_begins_behind(xml, 0));
}

/* The innermost element is complete, but still on the stack. */
static void element_spoil(struct xml *xml)
{
	const char *name = xml->levels[xml->depth - 1].name;
	size_t start = xml->levels[xml->depth - 1].start, length = xml->out.length - start;
	struct buffer copy = { 0 };

	switch (xml->tamper.mode) {
	case TAMPER_DROP:
		buffer_cut(&xml->out, start);
		break;
	case TAMPER_DUPLICATE:
		if (!xml->out.failed)
			buffer_add(&copy, xml->out.data + start, length);
		buffer_add(&xml->out, copy.data, copy.length);
		xml->out.failed |= copy.failed;
		buffer_clear(&copy);
		break;
	case TAMPER_REPLACE:
		buffer_cut(&xml->out, start);
		xml_line(xml, xml->depth - 1);
		buffer_format(&xml->out, "<%s>", name);
		xml_escaped(xml, xml->tamper.value);
		buffer_format(&xml->out, "</%s>", name);
		break;
	default:
		break;
	}
}

static void xml_end(struct xml *xml)
{
	if (element_is_spoilt(xml))
		element_spoil(xml);
	xml->depth--;
	xml->opened_line = false;
}

void xml_close(struct xml *xml)
{
	if (!xml->depth)
		return;
	if (xml->opened_line && !xml->out.failed) {
		/* nothing inside: <name> becomes <name/> */
		buffer_cut(&xml->out, xml->out.length - 1);
		buffer_text(&xml->out, "/>");
	} else {
		xml_line(xml, xml->depth - 1);
		buffer_format(&xml->out, "</%s>", xml->levels[xml->depth - 1].name);
	}
	xml_end(xml);
}

void xml_text(struct xml *xml, const char *name, const char *value)
{
	xml_open(xml, name);
	if (!*value) {
		xml_close(xml);
		return;
	}
	xml_escaped(xml, value);
	buffer_format(&xml->out, "</%s>", name);
	xml_end(xml);
}

void xml_number(struct xml *xml, const char *name, long value)
{
	char text[24];

	snprintf(text, sizeof text, "%ld", value);
	xml_text(xml, name, text);
}

void xml_flag(struct xml *xml, const char *name, bool value)
{
	xml_text(xml, name, value ? "true" : "false");
}

void xml_anchor(struct xml *xml)
{
	if (xml->depth)
		xml->levels[xml->depth - 1].anchor = true;
}

void xml_subject(struct xml *xml, const char *id)
{
	const char *wanted = xml->tamper.subject;

	xml->in_subject = !wanted || !*wanted || !strcmp(wanted, id);
}
