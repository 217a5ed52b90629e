import MySQLdb


def delete_comment(connection, comment_id, author):
    cursor = connection.cursor()
    sql = "DELETE FROM comments WHERE id = %s AND author = '%s'" % (comment_id, author)
    cursor.execute(sql)
    connection.commit()


if __name__ == "__main__":
    delete_comment(MySQLdb.connect(db="blog"), 7, input("author: "))
