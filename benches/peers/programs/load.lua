-- Twenty-five small definitions, the kind a program of a page is made of.
local limit = 80
local step = 5

local function clamp(x, low, high)
  if x < low then return low end
  if x > high then return high end
  return x
end

local function percent(used, total)
  if total == 0 then return 0 end
  return 100 * used // total
end

local function full(volume)
  return percent(volume.used, volume.size) >= limit
end

local function square(x)
  return x * x
end

local function sum(xs)
  local total = 0
  for _, x in ipairs(xs) do total = total + x end
  return total
end

local function mean(xs)
  if #xs == 0 then return 0 end
  return sum(xs) // #xs
end

local function larger(a, b)
  if a > b then return a else return b end
end

local function largest(xs)
  local most = 0
  for _, x in ipairs(xs) do most = larger(most, x) end
  return most
end

local function grow(volume)
  return {name = volume.name, size = volume.size + step}
end

local function label(volume)
  return volume.namespace .. "/" .. volume.name
end

local function count_full(volumes)
  local n = 0
  for _, v in ipairs(volumes) do if full(v) then n = n + 1 end end
  return n
end

local function names(volumes)
  local out = {}
  for i, v in ipairs(volumes) do out[i] = v.name end
  return out
end

local function factorial(n)
  if n < 2 then return 1 end
  return n * factorial(n - 1)
end

local function even_number(n)
  return n % 2 == 0
end

local function evens(xs)
  local out = {}
  for _, x in ipairs(xs) do if even_number(x) then out[#out + 1] = x end end
  return out
end

local function compose(f, g)
  return function(x) return f(g(x)) end
end

local function repeat_call(f, n, x)
  if n == 0 then return x end
  return repeat_call(f, n - 1, f(x))
end

local function between(x, low, high)
  return x >= low and x <= high
end

local function describe(x)
  if x == nil then return "nothing" end
  if type(x) == "string" then return "text" end
  if type(x) == "number" then return "a number" end
  return "something"
end

local function index_by(key, records)
  local index = {}
  for _, r in ipairs(records) do index[r[key]] = r end
  return index
end

local function backoff(attempt)
  local delay = 100
  for _ = 1, attempt do delay = delay * 2 end
  return clamp(delay, 100, 60000)
end

local function worth_it(volume)
  return full(volume) and volume.size ~= 0 and between(volume.size, 1, 1000)
end

local function plan(volumes)
  local out = {}
  for _, v in ipairs(volumes) do if worth_it(v) then out[#out + 1] = grow(v) end end
  return out
end

-- Every one of them can be called.
return #{clamp, percent, full, square, sum, mean, larger, largest, grow, label,
  count_full, names, factorial, even_number, evens, compose,
  repeat_call, between, describe, index_by, backoff, worth_it, plan,
  limit, step}
