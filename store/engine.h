#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H
/* What an engine has to bring so that store/sql.h works on it. Only store/sql.c and the engines include it.
 */
#include "store/sql.h"

enum { SQL_ERROR_MAX = 200 };

/* Each does what its namesake in sql.h says. */
struct sql_engine {
	void (*close)(struct sql *);
	bool (*claim)(struct sql *);
	bool (*begin)(struct sql *, enum sql_use);
	enum commit (*commit)(struct sql *);
	void (*rollback)(struct sql *);
	bool (*run)(struct sql *, const char *script);
	bool (*settle)(struct sql *);
	struct query *(*query)(struct sql *, const char *text);
	struct query *(*query_once)(struct sql *, const char *text);
	void (*integer)(struct query *, int parameter, long long);
	void (*text)(struct query *, int parameter, const char *);
	void (*bytes)(struct query *, int parameter, const void *, size_t);
	void (*ask)(struct query *);
	bool (*later)(struct query *, long long *affected);
	enum step (*step)(struct query *);
	bool (*column_null)(struct query *, int column);
	long long (*column_integer)(struct query *, int column);
	struct bytes (*column_bytes)(struct query *, int column);
	bool (*end)(struct query *);
};

/* First member of an engine's own connection. */
struct sql {
	const struct sql_engine *engine;
	void (*tick)(void *context); /* while a script runs; NULL: nobody waits for it */
	void *context;
	bool empty, broken, lost;
	char error[SQL_ERROR_MAX];
};

/* First member of an engine's own query. */
struct query {
	struct sql *sql;
	const char *text;
	bool failed, once;
	long long affected; /* of the last step that came to its end */
};

/* Keeps the first error; `passing`: the connection goes on working after it. Returns false. */
bool sql_failed(struct sql *, bool passing, const char *said);
/* A column's value is not what the verb expects. */
void column_unfit(struct query *);

#endif
