$(function () {
  const tab = decodeURIComponent(location.hash.slice(1));
  $('#title').empty().append($('<h2>').text(tab));
});
