#ifndef AGENT_EXITS_H
#define AGENT_EXITS_H
/* What a step of the agent, and so the whole agent, can come to. The numbers are those of sysexits(3) and
 * part of the contract (DESIGN.md section 9): boot scripts and unit files branch on them. A step starts as
 * AGENT_FAULT and becomes AGENT_DONE on its last line. */

enum agent_exit {
	AGENT_DONE = 0,
	AGENT_NO_METADATA = 69, /* EX_UNAVAILABLE: no instance metadata service, or it says nothing usable */
	AGENT_FAULT = 70, /* EX_SOFTWARE: out of memory, or a bug of ours */
	AGENT_GAVE_UP = 75, /* EX_TEMPFAIL: not now; run again, the same key collects the same release */
	AGENT_PROTOCOL = 76, /* EX_PROTOCOL: an answer that no true server of this version gives */
	AGENT_DENIED = 77, /* EX_NOPERM: the server has decided against this instance or this key */
	AGENT_CONFIGURATION = 78 /* EX_CONFIG: arguments, folders or files that a person must mend */
};

#endif
