-- What the comparisons with libraries of Python's share:  local peers = dofile(os.getenv "srcdir"
-- .. "/tests/peers/peers.lua")

local engine = require "switchyard.engine"
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local peers = {python = os.getenv "PYTHON" or "python3"}

--- The test is skipped where one of these modules is missing.
function peers.needs(...)
  local names = table.concat({...}, ", ")
  local probe =
    "import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in "
    .. "sys.argv[1].split(', ')))"
  if os.execute(("'%s' -c \"%s\" '%s' 2>/dev/null"):format(peers.python, probe, names)) then
    return
  end
  print(("1..0 # SKIP %s lacks one of %s (set PYTHON)"):format(peers.python, names))
  os.exit(0)
end

--- A new folder.
function peers.folder() return t.folder "files" end

--- Weights large enough that every part of the model matters; fresh ones are nearly a bigram table.
function peers.stir(m)
  for i, p in ipairs(m.params) do
    if #p.shape > 1 then
      engine.fill(p, 0.12, 7, i)
    else
      local v = {}
      for j = 1, p.size do v[j] = 1 + 0.2 * math.sin(i + j) end
      engine.put(p, v)
    end
  end
  for _, s in pairs(m.states) do
    local v = {}
    for j = 1, s.size do v[j] = 0.05 * math.cos(3 * j) end
    engine.put(s, v)
  end
end

return peers
