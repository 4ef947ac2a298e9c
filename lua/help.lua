-- Help: ?name at the prompt, help "name", ??name (source), and the reference as a manual page.
--
-- Entries are {name=, signature=, text=, example=}: those of the C bindings and of the op table come
-- from engine.docs(); Lua modules add theirs with help.add{...}.

local engine = require "switchyard.engine"

local help, added = {}, {}

--- Add an entry; of several with one name the first counts.
function help.add(entry) added[#added + 1] = entry end

-- ---- docs of the Lua library ----

-- Library modules whose "--- name(...): text" comments are docs, and what their objects are called.
local MODULES = {"nn", "model", "models", "run"}
local OBJECTS = {m = "model", r = "run", expert = "expert"}

-- "name(args) -> results" and the text after it.
local function split_signature(text)
  local name, rest = text:match "^([%a_][%w_.:]*)(.*)$"
  local args = rest:match "^%b()" or rest:match "^%b{}"
  if not args then return nil end
  rest = rest:sub(#args + 1)
  local results = rest:match "^ %-> %b()" or rest:match "^ %-> %b{}" or rest:match "^ %-> [^:;,.]*" or ""
  rest = rest:sub(#results + 1):gsub("^[:;,.]?%s*", "")
  return name, name .. args .. results, rest
end

local function add_comment(list, text)
  local name, signature, rest = split_signature(text)
  if not name then return end
  local object, method = name:match "^(%w+):(.*)$"
  if object then name = (OBJECTS[object] or object) .. ":" .. method end
  list[#list + 1] = {name = name, signature = signature, text = rest}
end

-- Each "--- ..." line with the "-- ..." lines below it.
local function add_comments(list, source)
  local text
  for line in source:gmatch "[^\n]*" do
    local begin, more = line:match "^%-%-%- (.*)", line:match "^%-%- (.*)"
    if begin then
      text = begin
    elseif text and more then
      text = text .. " " .. more
    elseif text then
      add_comment(list, text)
      text = nil
    end
  end
end

local tables = {}

--- Options of a function of the library as docs: rows as in lua/options.lua, or a function giving them.
function help.options(name, form, text, rows)
  tables[#tables + 1] = {name = name, form = form, text = text, rows = rows}
end

local function option_entry(t)
  local names, lines = {}, {}
  for i, row in ipairs(type(t.rows) == "function" and t.rows() or t.rows) do
    names[i] = row[1] .. "="
    local default = type(row[3]) ~= "table" and row[3] ~= nil and " (" .. tostring(row[3]) .. ")" or ""
    lines[i] = row[1] .. default .. (row.help and ": " .. row.help or "")
  end
  return {name = t.name, signature = t.form:format(table.concat(names, ", ")),
    text = t.text .. " Options: " .. table.concat(lines, "; ") .. ".", options = lines}
end

local function library(put)
  local list = {}
  for _, t in ipairs(tables) do put(option_entry(t)) end
  for _, name in ipairs(MODULES) do
    local source = engine.source(name)
    if source then add_comments(list, source) end
  end
  for _, e in ipairs(list) do put(e) end
end

--- All entries by name, and in order.
function help.entries()
  local by_name, list = {}, {}
  local function put(e)
    if not by_name[e.name] then list[#list + 1] = e end
    by_name[e.name] = by_name[e.name] or e
  end
  for _, e in ipairs(engine.docs()) do put(e) end
  for _, e in ipairs(added) do put(e) end
  library(put)
  return by_name, list
end

local function last_part(name) return name:match "([%w_]+)$" end

-- Exact name, then with : for . and under "tensor", then by last part.
local function find(name)
  local by_name, list = help.entries()
  local exact = by_name[name] or by_name[name:gsub("%.", ":")] or by_name[name:gsub(":", ".")] or
                by_name["tensor:" .. name] or by_name["tensor." .. name]
  if exact then return exact end
  local plain = name:gsub("%(.*$", "")
  for _, e in ipairs(list) do
    if last_part(e.name) == last_part(plain) then return e end
  end
  return nil, list
end

local function near(name, list)
  local hits = {}
  for _, e in ipairs(list) do
    if e.name:lower():find(name:lower(), 1, true) or e.text:lower():find(name:lower(), 1, true) then
      hits[#hits + 1] = e.name
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

--- The text that ?name prints, or nil and a list of near names.
function help.text(name)
  local e, list = find(name)
  if not e then return nil, near(name, list) end
  local out = {e.options and wrap(e.signature, "", 79) or e.signature}
  if e.options then
    out[#out + 1] = wrap(e.text:match "^(.-) Options:" or "", "    ", 76)
    for _, line in ipairs(e.options) do out[#out + 1] = "      " .. line end
  elseif e.text ~= "" then
    out[#out + 1] = wrap(e.text, "    ", 76)
  end
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
Type Lua; values print themselves (a ; at the end hides them), _ is the last one.
  ?name    help on a function, a method or a topic      ??name   its source
  !cmd     a shell command                              Tab      completes names
  Ctrl-C   ends what runs, or clears the line           Ctrl-D   leaves]]

--- ?name; without a name an introduction with the topics.
function help.print(name)
  if not name or name == "" or name == "help" then
    local _, list = help.entries()
    print(INTRO)
    print("Topics: " .. table.concat((topics(list)), " "))
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
  elseif #hits > 0 then
    local more = #hits > 12 and " …" or ""
    print("nothing is called '" .. name .. "'; near: " .. table.concat(hits, " ", 1, math.min(#hits, 12)) .. more)
  else
    engine.error("help: nothing is known about '" .. name .. "'; ?help lists the topics")
  end
end

local function resolve(name)
  local v = _G
  for part in name:gmatch "[%w_]+" do
    local ok, next_value = pcall(function() return v[part] end)
    if not ok or next_value == nil then return nil end
    v = next_value
  end
  return v
end

local function function_source(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return nil end
  local text
  local module = info.source:match "^=switchyard:(.*)%.lua$"
  if module then
    text = engine.source(module)
  elseif info.source:sub(1, 1) == "@" then
    local file = io.open(info.source:sub(2))
    text = file and file:read "a"
    if file then file:close() end
  end
  if not text then return nil end
  local lines, n = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if n >= info.linedefined and n <= info.lastlinedefined then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n")
end

--- ??name: the source of a Lua function.
function help.source(name)
  local f = resolve(name)
  if f == nil then engine.error("help: nothing is called '" .. name .. "'") end
  if type(f) ~= "function" then engine.error("help: '" .. name .. "' is a " .. type(f) .. ", not a function") end
  local text = function_source(f)
  if not text then engine.error("help: '" .. name .. "' is written in C or was typed; ?" .. name .. " describes it") end
  print(text)
end

-- ---- the manual page ----

local function roff(s)
  return (s:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("'", "\\(aq"):gsub("`", "\\(ga"):gsub("^%.", "\\&."):gsub("\n%.", "\n\\&."))
end

--- Write the reference as mdoc to standard output.
function help.dump()
  local _, list = help.entries()
  print ".\\\" Made by switchyard --dump-help from the op table and the docs beside the bindings."
  print ".Dd November 23, 2026\n.Dt SWITCHYARD-LUA 7\n.Os\n.Sh NAME\n.Nm switchyard-lua\n.Nd the Lua interface of switchyard"
  print ".Sh DESCRIPTION\nEverything is a global at the prompt and in scripts, and a field of\n.Ql require \\(dqswitchyard\\(dq ."
  print "Counting starts at 1, token ids at 0.\nDimensions are 1..n, or \\-1..\\-n from the end.\nOptions are the fields of one table."
  local names = topics(list)
  for _, topic in ipairs(names) do
    print(".Sh " .. topic:upper())
    print ".Bl -tag -width 4n"
    for _, e in ipairs(list) do
      if e.name:match "^[%a_]+" == topic then
        print(".It Li \"" .. roff(e.signature):gsub('"', '\\(dq') .. "\"")
        if e.text ~= "" then print((roff(e.text:gsub("([.;]) (%u)", "%1\n%2")))) end
        if e.example then print(".Bd -literal -offset indent\n" .. roff(e.example) .. "\n.Ed") end
      end
    end
    print ".El"
  end
  print ".Sh SEE ALSO\n.Xr switchyard 1"
end

return setmetatable(help, {
  __call = function(_, name) help.print(name) end,
  __tostring = function() return "help: ?name, or help \"name\"; ?help shows the way" end,
})
