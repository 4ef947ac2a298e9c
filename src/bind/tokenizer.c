/* Placeholder of the tokenizer bindings.  Layer bind. */
#include "bind/bind_int.h"

void lsy_open_tokenizer(lua_State *L) { (void)L; }
