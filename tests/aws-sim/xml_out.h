#ifndef AWS_SIM_XML_OUT_H
#define AWS_SIM_XML_OUT_H
/* Writes XML as AWS lays it out, and can leave out, repeat or replace one element on purpose. Never
 * writes an element whose text is not escaped. */
#include "tests/aws-sim/buffer.h"

enum { XML_DEPTH_MAX = 24 };

enum tamper_mode { TAMPER_NOT, TAMPER_DROP, TAMPER_DUPLICATE, TAMPER_REPLACE };

/* Which element to spoil: `field` names it by the names on the way from the nearest anchor (or from
 * the root), joined by "/", list members ("item", "member") left out:
 * "networkInterfaceSet/attachment/attachTime". */
struct tamper {
	enum tamper_mode mode;
	const char *field;
	const char *value; /* TAMPER_REPLACE: the element's new text */
	const char *subject; /* only while this is the subject; "": always */
};

struct xml {
	struct buffer out;
	unsigned indent, depth;
	bool opened_line; /* the innermost element has no child yet */
	bool in_subject;
	struct tamper tamper;
	struct {
		const char *name;
		size_t start; /* where its line begins */
		bool anchor;
	} levels[XML_DEPTH_MAX];
};

/* Begins a document, with an XML declaration or without; `indent` blanks for each level. */
void xml_begin(struct xml *, bool declared, unsigned indent, const struct tamper *);
void xml_clear(struct xml *);
/* `name` must outlive the document. The namespace is for the root; NULL: none. */
void xml_open_root(struct xml *, const char *name, const char *namespace);
void xml_open(struct xml *, const char *name);
void xml_close(struct xml *);
/* <name>value</name>, or <name/> when the value is empty. */
void xml_text(struct xml *, const char *name, const char *value);
void xml_number(struct xml *, const char *name, long value);
void xml_flag(struct xml *, const char *name, bool value);
/* From here on fields are named from the innermost open element. */
void xml_anchor(struct xml *);
/* Of whom the following speaks. */
void xml_subject(struct xml *, const char *id);

#endif
