import _ from 'lodash';

const settings = { theme: 'light', mail: { daily: true } };

export function update(req, res) {
  _.merge(settings, req.body);
  res.json(settings);
}
