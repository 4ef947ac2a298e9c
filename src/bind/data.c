/* Placeholder of the data bindings.  Layer bind. */
#include "bind/bind_int.h"

void lsy_open_data(lua_State *L) { (void)L; }
