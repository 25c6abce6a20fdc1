#ifndef AWS_SIM_EC2_H
#define AWS_SIM_EC2_H
/* How EC2 shows an instance. */
#include "tests/aws-sim/fault.h"
#include "tests/aws-sim/xml_out.h"

/* An instance as one answer shows it, which may lag behind what it is. */
struct shown {
	const json_t *instance; /* borrowed */
	struct view view;
};

const char *shown_state(const struct shown *);
/* All that is in its item of an instancesSet. */
void shown_write(struct xml *, const struct shown *);

#endif
