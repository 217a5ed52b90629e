require 'sinatra'

set :show_exceptions, false

get('/') { erb :index }
