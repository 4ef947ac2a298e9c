-- Help: ?name at the prompt, help "name", ??name (source), and the reference as a manual page.
--
-- Entries are {name=, signature=, text=, example=}: those of the C bindings and of the op table come
-- from engine.docs(), those of what is written in Lua from docs.lua and compose.lua; a script adds its own with help.add{...}.
-- An entry with options = function() -> rows lists them with their defaults.

local engine = require "switchyard.engine"
local foreign = require "switchyard.foreign"

local help, added = {}, {}

--- Add an entry; of several with one name the first counts, a row of the op table last.
function help.add(entry) added[#added + 1] = entry end

--- All entries by name, and in order.
function help.entries()
  local by_name, list = {}, {}
  local at = {}
  local function put(e)
    local before = by_name[e.name]
    if before and not (before.op and not e.op) then return end -- a method in place of its row
    at[e.name] = at[e.name] or #list + 1
    list[at[e.name]], by_name[e.name] = e, e
  end
  for _, e in ipairs(engine.docs()) do put(e) end
  for _, e in ipairs(require("switchyard.compose").docs()) do put(e) end
  for _, e in ipairs(require("switchyard.docs").list()) do put(e) end
  for _, e in ipairs(added) do put(e) end
  return by_name, list
end

local function last_part(name) return name:match "([%w_]+)$" end

-- What a value is, as the names of entries begin: "model" for one made by model.moe; nil when not known.
local function kind_of(v)
  local meta = type(v) ~= "function" and debug.getmetatable(v)
  local kind = type(meta) == "table" and (rawget(meta, "__name") or rawget(meta, "__metatable"))
  return type(kind) == "string" and kind:match "[%w_]+$" or nil
end

-- Exact name, then with : for . and under "tensor", then by the kind of a global (m:loss where m is a
-- model), then by last part.
local function find(name)
  local by_name, list = help.entries()
  local function exact(n)
    return by_name[n] or by_name[n:gsub("%.", ":")] or by_name[n:gsub(":", ".")]
  end
  local e = exact(name) or by_name["tensor:" .. name] or by_name["tensor." .. name]
  if e then return e end
  local plain = name:gsub("%(.*$", "")
  local first, rest = plain:match "^([%a_][%w_]*)(.*)$"
  local kind = first and kind_of(rawget(_G, first))
  e = kind and exact(kind .. rest)
  if e then return e end
  for _, entry in ipairs(list) do
    if last_part(entry.name) == last_part(plain) then return entry end
  end
  return nil, list
end

local function near(name, list)
  local hits, words, of = {}, {}, {}
  for _, e in ipairs(list) do -- misspelt: the nearest whole name, or last part of one
    for _, word in ipairs {e.name, last_part(e.name)} do
      words[#words + 1], of[word] = word, of[word] or e.name
    end
  end
  local nearest = of[engine.nearest(name, words)]
  if nearest then hits[1] = nearest end
  for _, e in ipairs(list) do
    if e.name:lower():find(name:lower(), 1, true) or e.text:lower():find(name:lower(), 1, true) then
      if e.name ~= nearest then
      hits[#hits + 1] = e.name
      end
    end
  end
  return hits
end

local function wrap(text, indent, width)
  local out, line = {}, ""
  for word in text:gmatch "%S+" do
    if #line + #word + 1 > width and line ~= "" then
      out[#out + 1] = indent .. line
      line = word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  out[#out + 1] = indent .. line
  return table.concat(out, "\n")
end

local function indented(text, indent) return indent .. text:gsub("\n", "\n" .. indent) end

-- "name=default" of a row of options.
local function option_text(row)
  local told = row.help and row.help:find "default: " -- in words
  if told or row[3] == nil or type(row[3]) == "table" then return row[1] end
  local text = math.type(row[3]) == "float" and ("%g"):format(row[3]) or tostring(row[3])
  return row[1] .. "=" .. text
end

local function option_lines(rows)
  local out = {}
  for i, row in ipairs(rows) do
    local text = wrap(row.help or row[2], (" "):rep(30), 50)
    out[i] = ("      %-23s %s"):format(option_text(row), text:match "^%s*(.*)$")
  end
  return table.concat(out, "\n")
end

--- The entry that ?name prints, or nil.
function help.entry(name) return (find(name)) end

--- Rows {name, type, default, least, most, help=} of the options that a function takes, or nil.
function help.options(name)
  local e = find(name)
  return e and e.options and e.options() or nil
end

--- The text that ?name prints, or nil and a list of near names.
function help.text(name)
  local e, list = find(name)
  if not e then return nil, near(name, list) end
  local out = {e.signature, wrap(e.text, "    ", 76)}
  local rows = e.options and e.options()
  if rows then out[#out + 1] = option_lines(rows) end
  if e.example then out[#out + 1] = indented(e.example, "        ") end
  return table.concat(out, "\n")
end

local function topics(list)
  local seen, names = {}, {}
  for _, e in ipairs(list) do
    local topic = e.name:match "^[%a_]+"
    if not seen[topic] then names[#names + 1] = topic end
    seen[topic] = (seen[topic] or 0) + 1
  end
  return names, seen
end

local INTRO = [[
Type Lua; values print themselves (a ; at the end hides them).
  ?name    help on a function, a method or a topic      ??name   its source
  !cmd     a shell command                              Tab      completes names
  :cmd     a command of the prompt; :help lists them    _        the last value
  Ctrl-C   clears the line, ends what runs or waits     Ctrl-D   leaves
What waits for long (r:wait(), r:eval(), sleep) goes on as a job beside the
prompt: :jobs lists them, :kill N ends one.]]

--- ?name; without a name an introduction with the topics.
function help.print(name)
  if not name or name == "" or name == "help" then
    local _, list = help.entries()
    print(INTRO)
    print(wrap("Topics: " .. table.concat((topics(list)), " "), "", 78))
    return
  end
  local text, hits = help.text(name)
  local _, list = help.entries()
  local _, known = topics(list)
  if text or known[name] then
    if text then print(text) end
    local names = {}
    for _, e in ipairs(list) do
      if e.name:match "^[%a_]+" == name and e.name ~= name then names[#names + 1] = last_part(e.name) end
    end
    if #names > 0 then print(wrap((text and "See also: " or "In " .. name .. ": ") .. table.concat(names, " "), "    ", 76)) end
  elseif foreign.name(name) then
    print(engine.clean(("nothing is called '%s' here; %s"):format(name, foreign.name(name))))
  elseif #hits > 0 then
    local more = #hits > 12 and " …" or ""
    print("nothing is called '" .. engine.clean(name) .. "'; near: " .. table.concat(hits, " ", 1, math.min(#hits, 12)) .. more)
  else
    engine.error("help: nothing is known about '" .. name .. "'; ?help lists the topics")
  end
end

-- What entries of methods begin with, where no variable is called so.
local function kind(name)
  local Run = name == "run" and require("switchyard.run").Run
  return Run and Run.methods or name == "model" and require("switchyard.model").Model or nil
end

local function resolve(name)
  local function look(v)
    for part in name:gmatch("[%w_]+", v ~= _G and #name:match "^[%w_]*" + 1 or 1) do
      local ok, next_value = pcall(function() return v[math.tointeger(tonumber(part)) or part] end)
      if not ok or next_value == nil then return nil end
      v = next_value
    end
    return v
  end
  local v = look(_G)
  local of = v == nil and kind(name:match "^[%w_]*")
  return of and look(of) or v
end

--- A function (or a table that can be called) that has an entry: its signature and the first sentence; or nil.
function help.brief(f)
  local _, list = help.entries()
  for _, e in ipairs(list) do
    if rawequal(resolve(e.name), f) then return e.signature, e.text:match "^(.-[^%d%s])[.:;]%f[%s\0]" or e.text end
  end
end

-- Where a function of Lua stands, and its lines; nil for one of C's or one that was typed.
local function function_source(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return nil end
  local text, where
  local module = info.source:match "^=switchyard:(.*)%.lua$"
  if module then
    text, where = engine.source(module), "lua/" .. module .. ".lua"
  elseif info.source:sub(1, 1) == "@" then
    where = info.source:sub(2)
    local file = io.open(where)
    text = file and file:read "a"
    if file then file:close() end
  end
  if not text then return nil end
  local lines, n = {}, 0
  local first
  for line in (text .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if n < info.linedefined and line:find "^%-%-" then
      first = first or n -- the comment above belongs to it
      lines[#lines + 1] = line
    elseif n >= info.linedefined and n <= info.lastlinedefined then
      lines[#lines + 1] = line
    elseif n < info.linedefined then
      lines, first = {}, nil
    end
  end
  return where .. ":" .. info.linedefined, table.concat(lines, "\n")
end

--- ??name: where a Lua function stands, and its source.
function help.source(name)
  local f = resolve(name)
  if f == nil then engine.error("help: nothing is called '" .. name .. "'") end
  local meta = type(f) == "table" and debug.getmetatable(f)
  if meta and type(rawget(meta, "__call")) == "function" then f = rawget(meta, "__call") end
  if type(f) ~= "function" then engine.error("help: '" .. name .. "' is a " .. type(f) .. ", not a function") end
  local where, text = function_source(f)
  if not where then engine.error("help: '" .. name .. "' is written in C or was typed; ?" .. name .. " describes it") end
  print(where)
  print(text)
end

-- ---- the manual page ----

local function roff(s)
  return (s:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("'", "\\(aq"):gsub("`", "\\(ga"):gsub("^%.", "\\&."):gsub("\n%.", "\n\\&."))
end

-- A sentence begins a new line, as mdoc wants it.
local function prose(text)
  local out = {}
  for sentence in (text:gsub("([%a%d)][.;:]) (%u)", "%1\n%2") .. "\n"):gmatch "(.-)\n" do
    out[#out + 1] = roff(wrap(sentence, "", 72))
  end
  return table.concat(out, "\n")
end

local TITLES = {tensor = "tensors", tokenizer = "tokenizers", data = "data sets", model = "models", train = "training",
                every = "training", runs = "training", compare = "training", run = "training", expert = "training",
                nn = "parts of models", help = "prompt", quit = "prompt", sleep = "prompt"}
for _, row in ipairs(require("switchyard.commands").rows()) do TITLES[row.name] = "prompt" end

local function dump_entry(e)
  print(".It Li \"" .. roff(e.signature):gsub('"', '\\(dq') .. "\"")
  print(prose(e.text))
  local rows = e.options and e.options()
  if rows then
    print ".Bl -tag -width 18n -compact"
    for _, row in ipairs(rows) do
      print(".It Li " .. roff(option_text(row)))
      print(prose(row.help or row[2]))
    end
    print ".El"
  end
  if e.example then print(".Bd -literal -offset indent -compact\n" .. roff(e.example) .. "\n.Ed") end
end

local HEAD = [[
.\" Made by switchyard --dump-help from the op table and the docs beside the bindings.
.Dd November 23, 2026
.Dt SWITCHYARD-LUA 7
.Os
.Sh NAME
.Nm switchyard-lua
.Nd the Lua interface of switchyard
.Sh DESCRIPTION
Everything is a global at the prompt and in scripts.
Reading a name that is not defined is an error that names the nearest;
_G.name is nil then, and a script that begins with
.Ql _ENV = _G
reads names as Lua does.
Counting starts at 1, token ids at 0.
Dimensions are 1..n, or \-1..\-n from the end.
Options are the fields of one table;
an unknown one is an error that names the nearest.
A mistake raises an error of one line; what the world may do
(a file that cannot be read) returns nil, a message and a code.
.Pp
B is the batch, T the tokens of a sequence, N = B*T, C the width of the model,
H heads, D the width of a head, E experts, K experts a token,
F the width of an expert, V the vocabulary, L layers.]]

--- Write the reference as mdoc to standard output.
function help.dump()
  local _, list = help.entries()
  local sections, by_title = {}, {}
  for _, e in ipairs(list) do
    local title = TITLES[e.name:match "^[%a_]+"] or e.name
    if not by_title[title] then
      by_title[title] = {title = title}
      sections[#sections + 1] = by_title[title]
    end
    table.insert(by_title[title], e)
  end
  print(HEAD)
  for _, section in ipairs(sections) do
    print(".Sh " .. section.title:upper() .. "\n.Bl -tag -width 4n")
    for _, e in ipairs(section) do dump_entry(e) end
    print ".El"
  end
  print ".Sh SEE ALSO\n.Xr switchyard 1"
end

return setmetatable(help, {
  __call = function(_, name) help.print(name) end,
  __tostring = function() return "help: ?name, or help \"name\"; ?help shows the way" end,
})
