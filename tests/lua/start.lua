-- What a plain start reads of the program's own Lua, and what reads the rest.  TAP.

local function read(folder) -- the modules of a folder that are there now
  local names = {}
  for module in pairs(package.loaded) do
    local name = module:match("^switchyard%." .. folder .. "%.(.*)$")
    if name then names[#names + 1] = name end
  end
  table.sort(names)
  return table.concat(names, " ")
end
local routers_read, balance_read = read "routers", read "balance"
local late = {}
for name in ([[model.mixture model.routing model.routing_context model.routing_trace model.generate
  model.fill model.translate model.sequence run.teacher run.replay run.compare data.score]])
  :gmatch "%S+" do
  late[#late + 1] = package.loaded["switchyard." .. name] and name or nil
end

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local is, ok = t.is, t.ok
local engine = require "switchyard.engine"

is(routers_read, "", "a start reads no router's file")
is(balance_read, "", "... and no balance rule's")
is(table.concat(late, " "), "", "... nor what routes, writes texts, teaches, replays or compares")

do -- names without their files
  local lines = require("switchyard.prompt.complete").lines
  ok((lines 'model.moe{router = "swi' or ""):find "switch\n", "a router's name is completed")
  ok((lines "nn.routers.swi" or ""):find "switch\n", "... and the field of nn.routers")
  is(read "routers", "", "... and no file is read for it")
end

is(nn.routers.switch.name, "switch", "a router that is named is there")
is(read "routers", "switch", "... and its file alone is read")

do -- all of them
  local list, files = routers(), engine.modules "routers."
  local named = {}
  for _, r in ipairs(list) do named["routers." .. r.name] = true end
  for _, module in ipairs(files) do
    ok(named[module], ("lua/%s.lua has the name of its router"):format(module:gsub("%.", "/")))
  end
  is(#list, #files, "routers() has them all, and no other")
  local seen = 0
  for name, r in pairs(nn.routers) do seen = seen + (r.name == name and 1 or 0) end
  is(seen, #files, "pairs(nn.routers) likewise")
  seen = 0
  for name, r in pairs(nn.balances) do seen = seen + (r.name == name and 1 or 0) end
  is(seen, #engine.modules "balance.", "pairs(nn.balances) likewise")
end

t.done()
