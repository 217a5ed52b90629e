async function showComments(list) {
  const answer = await fetch('/api/comments');
  const comments = await answer.json();
  for (const comment of comments) {
    const item = document.createElement('li');
    item.textContent = `${comment.author}: ${comment.text}`;
    list.append(item);
  }
}

showComments(document.getElementById('comments'));
