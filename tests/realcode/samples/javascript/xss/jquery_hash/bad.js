$(function () {
  const tab = decodeURIComponent(location.hash.slice(1));
  $('#title').html('<h2>' + tab + '</h2>');
});
