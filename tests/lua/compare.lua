-- compare's columns: a row of the table in lua/run/compare.lua is all that there is to write for
-- one.

local engine = require "switchyard.engine"
local columns = require("switchyard.run.compare").columns
local t = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")

local d = data.synthetic{domains = 2, tokens = 4000, seed = 1}
local function run(name)
  local m = model.moe{layers = 1, dim = 8, heads = 1, context = 8, vocab = d.vocab, experts = 4,
                      expert_dim = 8}
  return train(m, d, {steps = 2, batch = 2, eval_every = 0, warmup = 0, name = name}):wait()
end

run "stored-one":close()
local live, long = run "a", run "a-name-of-more-than-twenty-letters"

-- The first lines of a comparison in a terminal of so many columns: head, and one a run.
local function lines_at(width)
  local was = engine.columns
  engine.columns = function() return width end
  local text = tostring(compare{live, "stored-one", long})
  engine.columns = was
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return table.move(lines, 1, 4, 1, {})
end

local function all_are(lines, width)
  for _, line in ipairs(lines) do if utf8.len(line) ~= width then return false end end
  return #lines == 4
end

local function show(lines) return table.concat(lines, "\n") end

local wide, narrow = lines_at(92), lines_at(91)
t.is(wide[1],
  "run                  state             step      loss       val        lr      tok/s    mfu",
  "the heads")
t.ok(all_are(wide, 91), "each line has the width of the heads, a long name's too", show(wide))
t.ok(all_are(narrow, 75), "where that does not fit, the narrow ones", show(narrow))
t.ok(wide[2]:find "^a +done +2/2 +%d%.%d%d%d +%- +1%.0e%-04 +%d+ +%d+%%$", "a live run's", wide[2])
t.ok(wide[3]:find "^stored%-one +done +2/2 +%d%.%d%d%d +%- +1%.0e%-04 +%d+ +%-$",
  "a stored run's", wide[3])
t.ok(narrow[4]:find("a-name-of-mor… done", 1, true), "a long name is cut", narrow[4])

-- one more
columns[#columns + 1] = {head = "tokens", wide = 12, narrow = -9,
                         cell = function(s) return ("%d"):format(s.tokens) end}
wide, narrow = lines_at(105), lines_at(104)
t.ok(all_are(wide, 104), "one more column: so much wider", show(wide))
t.ok(all_are(narrow, 85), "and the narrow ones from a wider terminal on", show(narrow))
t.ok(wide[1]:find "mfu       tokens$" and wide[2]:find " 32$" and wide[3]:find " 32$",
  "its head and its cells", show(wide))
t.ok(narrow[1]:find "mfu tokens   $" and narrow[2]:find " 32       $", "to the left", show(narrow))
columns[#columns] = nil

t.done()
