'use strict';
(() => {
  // In another language than English the page has the words in it.
  const words = {
    filter: 'Filter the variants', name: 'Name', any: 'any', all: 'Show all', of: '{left} of {all}',
    ...JSON.parse(document.body.dataset.words || '{}'),
  };
  const make = (tag, text, attributes) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    return made;
  };
  const shown = cell => cell.dataset.value ?? (cell.firstChild ? cell.firstChild.textContent : '');
  const number = text => {
    const plain = text.trim().replace(/[,\u00a0]/g, '').replace('\u2212', '-').replace(/^[<>]\s*/, '');
    const value = parseFloat(plain);
    const unit = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 }[(plain.match(/^[-+\d.]+\s?([kMGT])$/) || [])[1]] || 1;
    return value * unit;
  };

  // A click on the head of a column: rising, falling, and back to the order of the study.
  const sortable = table => {
    const body = table.tBodies[0];
    const first = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const sort = (at, way) => {
      const numeric = heads[at].classList.contains('number');
      const key = row => numeric ? number(shown(row.cells[at])) : shown(row.cells[at]).trim();
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (!numeric) return way * x.localeCompare(y, undefined, { numeric: true });
        return Number.isNaN(x) - Number.isNaN(y) || way * (x - y) || 0;
      };
      body.append(...(way ? [...first].sort(compare) : first));
      heads.forEach((head, i) => {
        if (i === at && way) head.setAttribute('aria-sort', way > 0 ? 'ascending' : 'descending');
        else head.removeAttribute('aria-sort');
      });
    };
    heads.forEach((head, at) => {
      const button = make('button', '', { type: 'button' });
      button.append(...head.childNodes);
      head.append(button);
      const ways = head.classList.contains('number') ? [-1, 1, 0] : [1, -1, 0];
      let next = 0;
      button.addEventListener('click', () => {
        if (!head.hasAttribute('aria-sort')) next = 0;
        sort(at, ways[next]);
        next = (next + 1) % 3;
      });
    });
  };

  // A choice for each tag of the rows that has two values or more, and a search in their names.
  const filterable = table => {
    const names = JSON.parse(table.dataset.filters);
    const rows = [...table.tBodies[0].rows];
    const tags = new Map(rows.map(row => [row, JSON.parse(row.dataset.tags || '[]')]));
    const bar = make('form', '', { class: 'filters', role: 'search', 'aria-label': words.filter });
    const field = (text, control) => {
      const label = make('label', text);
      label.append(control);
      bar.append(label);
      return control;
    };
    const search = field(words.name, make('input', '', { type: 'search', placeholder: words.any }));
    const chosen = names.map((name, i) => {
      const values = [...new Set(rows.map(row => tags.get(row)[i]).filter(Boolean))];
      if (values.length < 2) return null;
      values.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
      const select = field(name, make('select'));
      select.append(make('option', words.any, { value: '' }));
      values.forEach(value => select.append(make('option', value, { value })));
      return select;
    });
    const count = make('output', '', { 'aria-live': 'polite' });
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      let left = 0;
      for (const row of rows) {
        const fits = shown(row.cells[0]).toLowerCase().includes(wanted)
          && chosen.every((each, i) => !each || !each.value || tags.get(row)[i] === each.value);
        // The baseline stays: the others are differences to it.
        row.hidden = !fits && !row.classList.contains('marked');
        left += fits;
      }
      count.textContent = words.of.replace('{left}', left).replace('{all}', rows.length);
    };
    const clear = make('button', words.all, { type: 'reset' });
    bar.append(clear, count);
    bar.addEventListener('input', apply);
    bar.addEventListener('reset', () => setTimeout(apply));
    bar.addEventListener('submit', event => event.preventDefault());
    table.closest('.scroll').before(bar);
    apply();
  };

  // A figure that is taller than two pages of paper is printed in parts, which end between its panels or rows: as
  // drawn for a phone, where it is, in three columns of a page, else one below the other.
  const partsOf = (plot, page) => {
    const frame = plot.getBoundingClientRect();
    const [, , width, height] = plot.getAttribute('viewBox').split(' ').map(Number);
    const place = y => (y - frame.top) * height / frame.height;
    const boxes = elements => elements.map(each => each.getBoundingClientRect()).filter(box => box.height);
    const labels = boxes([...new Set([...plot.querySelectorAll('text')].map(text => text.parentNode))]);
    labels.sort((a, b) => a.bottom - b.bottom);
    // In the middle between two names: what belongs to a row reaches a little further than its name.
    const ends = labels.map((box, i) => place((box.bottom + Math.max(box.bottom, labels[i + 1]?.top ?? 0)) / 2));
    const panels = boxes([...plot.querySelectorAll('.panel')]).map(box => [place(box.top), place(box.bottom)]);
    const between = panels.map(([, end]) => end + 1).filter(end => !panels.some(([top, bottom]) => top < end && end < bottom));
    const seen = (from, until) => {
      const part = plot.cloneNode(true);
      part.setAttribute('viewBox', `0 ${from} ${width} ${until - from}`);
      return part;
    };
    // Rows of one panel: below each part stands what is below the last row, the axis.
    const only = panels.length === 1 && plot.querySelector('.panel path');
    const last = only ? place(only.getBoundingClientRect().bottom) : height;
    const room = page - (height - last);
    const parts = make('div', '', { class: 'parts' });
    for (let from = 0; from < last - 1;) {
      const fits = places => Math.max(...places.filter(end => end > from + room / 2 && end < from + room));
      const found = [fits(between), fits(ends), from + room].find(Number.isFinite);
      const until = last - from <= room ? last : found;
      const part = make('div', '', { class: 'piece' });
      part.append(seen(from, until));
      if (last < height) part.append(seen(last, height));
      parts.append(part);
      from = until;
    }
    return parts;
  };
  const inParts = figure => {
    const frames = [...figure.querySelectorAll('.frame')];
    const plots = frames.map(frame => frame.querySelector(':scope > .plot')).filter(Boolean);
    if (!plots.length) return;
    const [, , width, height] = plots[0].getAttribute('viewBox').split(' ').map(Number);
    if (height < 2 * 0.58 * width) return;
    frames.forEach(frame => frame.classList.add('measured'));
    const small = plots[1];
    const parts = partsOf(small || plots[0], small ? 1.75 * small.viewBox.baseVal.width : 0.58 * width);
    if (small) parts.classList.add('columns');
    frames.forEach(frame => frame.classList.replace('measured', 'whole'));
    frames[0].after(parts);
  };
  addEventListener('beforeprint', () => document.querySelectorAll('figure').forEach(inParts));
  addEventListener('afterprint', () => {
    document.querySelectorAll('.parts').forEach(parts => parts.remove());
    document.querySelectorAll('.whole').forEach(frame => frame.classList.remove('whole'));
  });

  document.querySelectorAll('table').forEach(table => {
    if (table.tBodies[0].rows.length > 2) sortable(table);
    if (table.dataset.filters) filterable(table);
  });
})();
