/* PIN files: refused with the mend, or the very bytes of the file without one last line feed. */
#include "tests/fuzz/file.h"
#include "vault/pin.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct complaint complaint = { "" };
	const char *path = file_of(data, size);
	size_t wanted = size - (size > 0 && data[size - 1] == '\n');
	bool carriage_return = wanted > 0 && data[wanted - 1] == '\r';
	struct pin pin;

	if (pin_read(path, &pin, &complaint)) {
		MUST_HOLD(pin.length == wanted && wanted > 0 && size <= PIN_MAX && !carriage_return);
		MUST_HOLD(memcmp(pin.data, data, wanted) == 0);
	} else {
		MUST_HOLD(!pin.data && strncmp(complaint.text, path, strlen(path)) == 0);
		MUST_HOLD(wanted == 0 || size > PIN_MAX || carriage_return);
		MUST_HOLD(size < 8 || !memmem(complaint.text, strlen(complaint.text), data, size));
	}
	pin_clear(&pin);
	return 0;
}
