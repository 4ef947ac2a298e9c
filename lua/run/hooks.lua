-- Hooks: functions of the user's that run between two steps of a run.  every(r, n, f) -> a hook;
-- hooks(r) lists them.
--
--  1. The list is exchanged, never changed: a hook may add and remove hooks, from the next step on.
--  2. The trainer's thread only knows that there are hooks of an interval (r._h:every); here is
--     which.

local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local hooks = {}

local methods = {}
local Hook = fields.class("hook", methods, "run n f", function(_, name, setting)
  return setting and (name == "n" or name == "f" or name == "run") and
    ("%s cannot be set; hook:remove(), and every(r, n, f) makes another"):format(name)
end)

--- Where a function stands: "x.lua:3".
function hooks.place(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return "a function of the program" end
  return info.short_src .. (info.linedefined > 0 and ":" .. info.linedefined or "")
end

function Hook:__tostring()
  return ("every %d step%s of run %s: %s%s"):format(self.n, self.n == 1 and "" or "s",
    self.run.name, hooks.place(self.f), hooks.number(self) and "" or " (removed)")
end

--- Its place in hooks(r), or nil when it was removed.
function hooks.number(hook)
  local n = 0
  for _, other in ipairs(hook.run._hooks) do
    n = n + (other._own and 0 or 1)
    if rawequal(other, hook) then return n end
  end
end

--- hook:remove(): no more calls of it; also from within itself, and more than once
function methods:remove()
  local kept, run = {}, self.run
  for _, other in ipairs(run._hooks) do
    if rawequal(other, self) then run._h:every(self.n, true) else kept[#kept + 1] = other end
  end
  rawset(run, "_hooks", kept)
end

--- f(r) after every n-th step; own: the program's, not listed
function hooks.add(run, n, f, own)
  run._h:every(n)
  local hook = fields.object(Hook, {run = run, n = n, f = f})
  hook._own = own
  local list = {table.unpack(run._hooks)}
  list[#list + 1] = hook
  rawset(run, "_hooks", list)
  return hook
end

--- The hooks that the user made for a run, by number.
function hooks.list(run)
  local list = {}
  for _, hook in ipairs(run._hooks) do
    if not hook._own then list[#list + 1] = hook end
  end
  return setmetatable(list, {__tostring = function()
    local lines = {}
    for i, hook in ipairs(list) do lines[i] = ("%2d  %s"):format(i, tostring(hook)) end
    return #lines > 0 and table.concat(lines, "\n") or ("run %s has no hooks"):format(run.name)
  end})
end

--- Call those of this step.  An error says which hook it was, and how it is taken away.
function hooks.call(run, step)
  for _, hook in ipairs(run._hooks) do
    if step % hook.n == 0 then
      rawset(run, "_in_hook", true)
      local ok, why = pcall(hook.f, run)
      rawset(run, "_in_hook", false)
      if not ok and type(why) == "string" and not hook._own then
        local n = hooks.number(hook)
        error(why .. (n and ("; hooks(%q)[%d]:remove() takes this hook away"):format(run.name,
          n) or ""), 0)
      end
      if not ok then error(why, 0) end
    end
  end
end

return hooks
