/* Placeholder of the tensor_file bindings.  Layer bind. */
#include "bind/bind_int.h"

void lsy_open_tensor_file(lua_State *L) { (void)L; }
