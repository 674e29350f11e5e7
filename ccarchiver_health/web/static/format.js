// Formatting of numbers and times. Times are in Unix seconds and are shown in UTC, as in the
// observatory's logs.

export function clock(at) {
  return at ? new Date(at * 1000).toISOString().slice(11, 19) : "";
}

export function fineClock(at) {
  return new Date(at * 1000).toISOString().slice(11, 23);
}

export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (value < 0.0005) return "0 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${Number(value.toFixed(1))} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} d`;
}

// Return an age in whole units: it changes every second and is read from a distance.
export function age(value) {
  const whole = Math.max(0, Math.round(value));
  return whole ? seconds(whole) : "0 s";
}

export function mebibytes(value) {
  return `${Math.round(value / 1048576)} MiB`;
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
