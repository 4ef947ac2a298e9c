-- tokenizer.json of every layout, trained by Hugging Face's tokenizers (layouts.py), in both: the
-- same ids on 2,000 strings each.  Skips where $PYTHON (default python3) has no tokenizers.  TAP.

local engine = require "switchyard.engine"
local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local peers = dofile(os.getenv "srcdir" .. "/tests/peers/peers.lua")

local folder = peers.folder()
local done, _, status = os.execute(("'%s' '%s/tests/peers/layouts.py' '%s' %d"):format(
  peers.python, os.getenv "srcdir" or ".", folder, os.getenv "SY_TEST_FAST" and 500 or 2000))
if not done then
  os.execute("rm -rf '" .. folder .. "'")
  if status == 77 or status == 127 then -- 127 is the shell's: no such command
    print("1..0 # SKIP " .. peers.python .. " lacks tokenizers (set PYTHON)")
    os.exit(0)
  end
  error "layouts.py failed"
end

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read "a"
end

local function compare(tok, want)
  local wrong, first = 0, nil
  for i, s in ipairs(want.strings) do
    local ids, around = table.concat(tok:encode(s), " "),
      table.concat(tok:encode(s, {special = true}), " ")
    local text = tok:decode(want.ids[i])
    if ids ~= table.concat(want.ids[i], " ") or around ~= table.concat(want.special[i],
      " ") or text ~= want.decoded[i] then
      wrong = wrong + 1
      first = first or ("%q\nours   %s\ntheirs %s\nours   %q\ntheirs %q"):format(s, ids,
        table.concat(want.ids[i], " "),
        text, want.decoded[i])
    end
  end
  return wrong, #want.strings, first
end

for file in io.popen("ls '" .. folder .. "'"):lines() do
  local name = file:match "^(.*)%.ids%.json$"
  if name then
    local tok, why = tokenizer.load(("%s/%s.json"):format(folder, name))
    local wrong, all, first = 0, 0, why
    if tok then wrong, all, first = compare(tok, engine.json(read(folder .. "/" .. file))) end
    tap.ok(tok and wrong == 0, ("%s: %d of %d strings differ"):format(name, wrong, all), first)
  end
end

os.execute("rm -rf '" .. folder .. "'")
tap.done()
