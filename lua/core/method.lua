-- Methods that are called with a dot (r.wait() for r:wait()): without this their first argument
-- would be taken for what they belong to, and the message would be about something inside.

local method = {}
local plain = setmetatable({}, {__mode = "k"}) -- guarded -> as written

local function guarded(name, f, article, owner, is)
  local function g(self, ...)
    if not is(self) then
      error(("%s: takes %s first: write %s:%s(...), with a colon"):format(name, article,
        owner, name), 2)
    end
    return f(self, ...)
  end
  plain[g] = f
  return g
end

--- Guard the functions of `methods` that were written with a colon. owner: how the docs call it
-- (r); is: whether a value may be their first argument.
function method.guard(methods, article, owner, is)
  for name, f in pairs(methods) do
    if type(f) == "function" and name:sub(1, 1) ~= "_" and debug.getlocal(f, 1) == "self" then
      methods[name] = guarded(name, f, article, owner, is)
    end
  end
end

--- The function as it was written.
function method.written(f) return plain[f] or f end

return method
