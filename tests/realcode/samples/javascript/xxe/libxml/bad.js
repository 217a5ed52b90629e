const libxml = require('libxmljs');

module.exports = function importOrders(req, res) {
  const document = libxml.parseXml(req.body, { noent: true });
  res.json({ orders: document.find('//order').length });
};
